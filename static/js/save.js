/* A chart is saved as it is seen (PNG), its values as CSV: those behind a chart one can zoom into, else those of its table. Load after chart-tools.js. */
(function () {
  "use strict";
  var colour = chartTools.colour, button = chartTools.button, hand = chartTools.hand;
  var SHOWN = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity", "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline", "display", "visibility"];

  function fileOf(figure, ending) {
    return chartTools.fileName(figure.getAttribute("aria-label") || "chart", ending);
  }

  /* PNG: a title above what is seen, in the colours of the page. */
  function paint(figure, source, width, height) {
    var scale = Math.max(2, devicePixelRatio), edge = 12, legend = figure.querySelectorAll(".legend li");
    var head = legend.length ? 56 : 34;
    var canvas = document.createElement("canvas");
    canvas.width = (width + 2 * edge) * scale;
    canvas.height = (height + head + edge) * scale;
    var ctx = canvas.getContext("2d");
    ctx.scale(scale, scale);
    ctx.fillStyle = colour("--surface");
    ctx.fillRect(0, 0, width + 2 * edge, height + head + edge);
    ctx.fillStyle = colour("--ink");
    ctx.font = "13px Inter, sans-serif";
    ctx.textBaseline = "middle";
    ctx.fillText(figure.getAttribute("aria-label"), edge, 17, width);
    var at = edge;
    legend.forEach(function (one) {
      var text = one.textContent.trim(), tone = one.className.replace("tone-", "");
      ctx.fillStyle = colour("--series-" + tone) || colour("--" + tone);
      ctx.fillRect(at, 37, 14, 3);
      ctx.fillStyle = colour("--ink");
      ctx.fillText(text, at + 20, 39);
      at += 40 + ctx.measureText(text).width;
    });
    ctx.drawImage(source, edge, head, width, height);
    canvas.toBlob(function (blob) { hand(blob, fileOf(figure, ".png")); }, "image/png");
  }
  function picture(figure) {
    var drawn = figure.querySelector("canvas");
    if (drawn) {
      var box = drawn.getBoundingClientRect();
      paint(figure, drawn, box.width, box.height);
      return;
    }
    var svg = figure.querySelector("svg.chart");
    var size = svg.getBoundingClientRect();
    var copy = svg.cloneNode(true);
    var from = [svg].concat(Array.from(svg.querySelectorAll("*")));
    var to = [copy].concat(Array.from(copy.querySelectorAll("*")));
    from.forEach(function (one, at) {
      var style = getComputedStyle(one);
      SHOWN.forEach(function (name) { to[at].setAttribute(name, style.getPropertyValue(name)); });
    });
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", size.width);
    copy.setAttribute("height", size.height);
    var image = new Image();
    image.onload = function () { paint(figure, image, size.width, size.height); };
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(copy));
  }

  /* CSV (RFC 4180). A cell that a spreadsheet would take for a formula is text. */
  function cell(value) {
    if (value === null || value === undefined) return "";
    var text = String(value);
    if (/^[=+\-@\t\r]/.test(text) && !/^-?[0-9.]+([eE][+-]?[0-9]+)?$/.test(text)) text = "'" + text;
    return /[",\r\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  }
  function rowsOf(figure) {
    var data = figure.querySelector("script[type='application/json']");
    if (data) {
      var given = JSON.parse(data.textContent), byTime = new Map();
      given.series.forEach(function (one, column) {
        one.times.forEach(function (at, number) {
          if (!byTime.has(at)) byTime.set(at, given.series.map(function () { return null; }));
          byTime.get(at)[column] = one.values[number];
        });
      });
      var times = Array.from(byTime.keys()).sort(function (a, b) { return a - b; });
      var unit = given.unit ? " (" + given.unit + ")" : "";
      return [["time"].concat(given.series.map(function (one) { return one.label + unit; }))].concat(times.map(function (at) {
        return [new Date(at * 1000).toISOString()].concat(byTime.get(at));
      }));
    }
    return Array.from(figure.querySelectorAll("table tr")).map(function (row) {
      return Array.from(row.cells).map(function (one) {
        return one.dataset.value !== undefined ? one.dataset.value : one.querySelector(".unknown") ? null : one.textContent.trim().replace(/\s+/g, " ");
      });
    });
  }
  function values(figure) {
    var text = rowsOf(figure).map(function (row) { return row.map(cell).join(","); }).join("\r\n") + "\r\n";
    hand(new Blob([text], { type: "text/csv;charset=utf-8" }), fileOf(figure, ".csv"));
  }

  document.querySelectorAll("figure[data-save]").forEach(function (figure) {
    var bar = document.createElement("div");
    bar.className = "zoom-bar no-print";
    bar.append(button("Save as PNG", picture.bind(null, figure)), button("Save as CSV", values.bind(null, figure)));
    var table = figure.querySelector("details");
    if (table) table.before(bar); else figure.append(bar);
  });
})();
