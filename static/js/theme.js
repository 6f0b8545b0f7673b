/* Runs before the first paint: sets light or dark, and says that scripts run. */
(function () {
  "use strict";
  var root = document.documentElement;
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  root.classList.replace("no-js", "js");

  function chosen() {
    try {
      return localStorage.getItem("theme") || "auto";
    } catch (refused) {
      return "auto"; // a browser that keeps nothing follows the system
    }
  }
  function apply() {
    var choice = chosen();
    root.dataset.bsTheme = choice === "auto" ? (system.matches ? "dark" : "light") : choice;
    document.querySelectorAll("[data-theme-set]").forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.themeSet === choice));
    });
  }
  apply();
  system.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  document.addEventListener("DOMContentLoaded", apply);
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-theme-set]");
    if (!button) return;
    try {
      localStorage.setItem("theme", button.dataset.themeSet);
    } catch (refused) {
      root.dataset.bsTheme = button.dataset.themeSet;
      return;
    }
    apply();
  });
})();
