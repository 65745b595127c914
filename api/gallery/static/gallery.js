// The gallery's script. Without it the page shows all photos, page by page.

import "./grid.js";
import "./viewer.js";
import "./take.js";
import "./find.js";
import "./live.js";
import "./notices.js";
import "./report.js";
