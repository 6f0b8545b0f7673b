/* What the scripts of charts share. Load before plot.js, series.js and save.js. */
(function () {
  "use strict";
  window.chartTools = {
    /* A colour of the page by the name of its variable, as light or dark has it now. */
    colour: function (name) {
      return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    },
    button: function (text, act) {
      var made = document.createElement("button");
      made.type = "button";
      made.className = "btn btn-sm";
      made.textContent = text;
      made.addEventListener("click", act);
      return made;
    },
    /* Hand somebody a file that was made here. */
    hand: function (blob, name) {
      var link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = name;
      link.click();
      setTimeout(function () { URL.revokeObjectURL(link.href); }, 10000);
    },
    fileName: function (title, ending) {
      return title.replace(/[^A-Za-z0-9_-]+/g, "-") + ending;
    }
  };
})();
