// The gallery's script. Without it the page shows all photos, page by page.

import "./grid.js";
import "./find.js";
import "./viewer.js";
import "./live.js";
import "./report.js";
