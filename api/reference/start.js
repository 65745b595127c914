"use strict";

SwaggerUIBundle({
  url: document.getElementById("reference").dataset.document,
  dom_id: "#reference",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  filter: true,
  tryItOutEnabled: true,
  // A key is asked for again when the page is opened again: it is kept nowhere.
  persistAuthorization: false,
  // Swagger's own validator is another machine.
  validatorUrl: null,
});
