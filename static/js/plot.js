/* Charts one can zoom into: a button trades the drawn chart for uPlot. Load after uPlot and chart-tools.js.
   Drag over a stretch to zoom; the buttons do the same for the keyboard. */
(function () {
  "use strict";
  var root = document.documentElement;
  var colour = chartTools.colour, button = chartTools.button;

  function clock(withSeconds) {
    var options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    if (withSeconds) options.second = "2-digit";
    try {
      return new Intl.DateTimeFormat("en-GB", Object.assign({ timeZone: root.dataset.tz || undefined }, options));
    } catch (unknownZone) {
      return new Intl.DateTimeFormat("en-GB", Object.assign({ timeZone: "UTC" }, options));
    }
  }
  var minutes = clock(false);
  var seconds = clock(true);
  function number(value) {
    return value === null || value === undefined ? "–" : Number(value.toPrecision(4)).toLocaleString("en-GB").replace(/,/g, "\u202f");
  }
  function timesOfAxis(plot, moments) {
    var form = plot.scales.x.max - plot.scales.x.min < 600 ? seconds : minutes;
    return moments.map(function (at) { return form.format(at * 1000); });
  }
  function timeOfCursor(plot, at) {
    return at === null ? "–" : seconds.format(at * 1000);
  }
  function stroke(tone) {
    return colour(/^[1-4]$/.test(tone) ? "--series-" + tone : "--" + tone) || colour("--series-1");
  }

  function arm(figure) {
    var given = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    var still = figure.querySelector(".zoom-still");
    var place = document.createElement("div");
    place.setAttribute("aria-hidden", "true"); // the table below holds the same values
    var bar = document.createElement("div");
    var hint = document.createElement("span");
    var plot = null;
    var tables = given.series.map(function (one) { return [one.times, one.values]; });
    var data = tables.length > 1 ? uPlot.join(tables) : tables[0];
    if (given.limit !== null) data = data.concat([data[0].map(function () { return given.limit; })]);
    // A second, or a fiftieth of all that is drawn along a number.
    var least = given.along ? (data[0][data[0].length - 1] - data[0][0]) / 100 : 1;
    bar.className = "zoom-bar";
    hint.className = "small muted";
    hint.textContent = "or drag over a stretch of it";

    function whole() {
      plot.setScale("x", { min: data[0][0], max: data[0][data[0].length - 1] });
    }
    function by(factor) {
      var scale = plot.scales.x;
      var middle = (scale.min + scale.max) / 2;
      var half = Math.max(least, ((scale.max - scale.min) / 2) * factor);
      plot.setScale("x", {
        min: Math.max(data[0][0], middle - half),
        max: Math.min(data[0][data[0].length - 1], middle + half)
      });
    }
    function draw() {
      if (plot) plot.destroy();
      var axis = { stroke: colour("--ink-3"), font: "11px JetBrains Mono, monospace", grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line-2"), width: 1 } };
      var series = given.series.map(function (one) {
        var made = { label: one.label, stroke: stroke(one.tone), width: 1.75, dash: one.dashed ? [5, 4] : undefined, spanGaps: !!given.along };
        if (given.along) Object.assign(made, { value: function (u, value) { return number(value); }, points: { show: false } });
        if (one.are_dots) Object.assign(made, { paths: function () { return null; }, points: { show: true, size: 8, fill: stroke(one.tone) } });
        return made;
      });
      if (given.limit !== null) series.push({ label: "limit", stroke: colour("--bad"), width: 1.25, dash: [6, 3], points: { show: false } });
      plot = new uPlot({
        width: figure.clientWidth,
        height: 260,
        cursor: { drag: { x: true, y: false } },
        scales: { x: { time: !given.along }, y: { range: function (u, low, high) { return [0, Math.max(1, high * 1.08)]; } } },
        axes: [Object.assign(given.along ? { label: given.along, labelFont: axis.font, labelSize: 20 } : { values: timesOfAxis, space: 76 }, axis), Object.assign({ size: 48 }, given.unit ? { label: given.unit, labelFont: axis.font, labelSize: 20 } : {}, axis)],
        series: [given.along ? { label: given.along, value: function (u, value) { return number(value); } } : { label: "time", value: timeOfCursor }].concat(series)
      }, data, place);
    }
    var open = button("Zoom into this chart", function () {
      open.hidden = true;
      still.hidden = true;
      [button("Closer", by.bind(null, 0.5)), button("Wider", by.bind(null, 2)), button("Whole range", whole)].forEach(function (made) { bar.append(made); });
      bar.append(hint);
      bar.after(place);
      draw();
      bar.querySelector("button:not([hidden])").focus();
      new ResizeObserver(function () {
        if (plot && figure.clientWidth) plot.setSize({ width: figure.clientWidth, height: 260 });
      }).observe(figure);
      new MutationObserver(draw).observe(root, { attributes: true, attributeFilter: ["data-bs-theme"] });
    });
    bar.append(open);
    still.before(bar);
  }

  function armAll() {
    document.querySelectorAll("figure[data-zoom]:not([data-armed])").forEach(function (figure) {
      figure.setAttribute("data-armed", "");
      arm(figure);
    });
  }
  document.addEventListener("DOMContentLoaded", armAll);
  document.addEventListener("htmx:afterSwap", armAll);
})();
