/* One metric's series: the drawn chart becomes one that zooms. Load after uPlot and chart-tools.js.
   Drag over a stretch, or use the buttons or the keys, and the points of that stretch are asked for as finely as they
   fit. The tables below hold what is shown; the line above them says it in a sentence. */
(function () {
  "use strict";
  var root = document.documentElement;
  var HEIGHT = 300;
  var SHORTEST = 1800;
  var colour = chartTools.colour, button = chartTools.button;

  function seeThrough(name, share) {
    var hex = colour(name).replace("#", "");
    if (!/^[0-9a-f]{6}$/i.test(hex)) return "rgba(120,120,120," + share + ")";
    var parts = [0, 2, 4].map(function (at) { return parseInt(hex.slice(at, at + 2), 16); });
    return "rgba(" + parts.join(",") + "," + share + ")";
  }
  function written(options, zone) {
    try {
      return new Intl.DateTimeFormat("en-GB", Object.assign({ timeZone: zone || undefined }, options));
    } catch (unknownZone) {
      return new Intl.DateTimeFormat("en-GB", Object.assign({ timeZone: "UTC" }, options));
    }
  }
  function forms(zone) {
    return {
      whole: written({ year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }, zone),
      day: written({ year: "numeric", month: "short", day: "numeric" }, zone),
      month: written({ month: "short", day: "numeric" }, zone),
      zone: written({}, zone).resolvedOptions().timeZone,
      clock: written({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" }, zone)
    };
  }
  function number(value) {
    if (value === null || value === undefined) return "–";
    if (Math.abs(value) >= 1e15) {
      var parts = value.toExponential(2).split("e");
      return Number(parts[0]) + "\u202f×\u202f10" + String(Number(parts[1])).replace(/\d/g, function (digit) { return "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]; });
    }
    return Number(value.toPrecision(4)).toLocaleString("en-GB").replace(/,/g, "\u202f");
  }
  function arm(figure) {
    var given = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    var says = figure.querySelector("[data-series-says]");
    var behind = figure.querySelector("[data-series-tables]");
    var csv = document.querySelector("[data-series-csv]");
    var bar = document.createElement("div");
    var place = document.createElement("div");
    var first = { from: given.from, to: given.to };
    var times = forms(root.dataset.tz);
    var utc = forms("UTC");
    var plot = null;
    var asked = 0;
    bar.className = "zoom-bar";
    place.className = "series-plot";
    place.tabIndex = 0;
    place.setAttribute("role", "application");
    place.setAttribute("aria-label", given.title + ": chart. Plus and minus zoom, the arrows move along, Home shows all. The table below holds the values.");

    // Days are UTC's; every other moment is in the reader's zone.
    function pointAt(at) { return given.step === "day" ? utc.day.format(at * 1000) : times.whole.format(at * 1000); }
    function stretch() { return times.whole.format(given.from * 1000) + " to " + times.whole.format(given.to * 1000) + " (" + times.zone + ")"; }

    /* Lines share one axis of time: where a line has no point of its own it goes on, where it has none at all (null) it breaks. */
    function joined() {
      var tables = [[given.at, given.value].concat(given.low ? [given.low, given.high] : [])];
      if (given.band) tables.push([given.band.at, given.band.low, given.band.high]);
      if (given.cone) {
        var cone = given.cone;
        tables.push([cone.at, cone.point, cone.lower50, cone.upper50, cone.lower80, cone.upper80, cone.lower95, cone.upper95]);
      }
      return tables.length > 1 ? uPlot.join(tables) : tables[0];
    }
    function lines() {
      var bare = { points: { show: false }, stroke: "transparent", width: 0 };
      var value = function (u, v) { return number(v); };
      function quiet(label, key) { return Object.assign({ label: label, value: value, key: key }, bare); }
      var made = [{ label: "time", value: function (u, at) { return at === null ? "–" : pointAt(at); } }];
      var bands = [];
      made.push({ label: given.low ? "mean" : "value", stroke: colour("--series-1"), width: 1.75, value: value, points: { show: given.at.length < 40 } });
      if (given.low) {
        var spread = seeThrough("--series-1", 0.16);
        made.push(quiet("least", spread), quiet("most", spread));
        bands.push({ series: [3, 2], fill: spread });
      }
      if (given.band) {
        var low = made.length;
        var usual = seeThrough("--series-4", 0.2);
        made.push(quiet("usual from", usual), quiet("usual to", usual));
        bands.push({ series: [low + 1, low], fill: usual });
      }
      if (given.cone) {
        var at = made.length;
        made.push({ label: "forecast", stroke: colour("--series-2"), width: 1.5, dash: [5, 4], value: value, points: { show: false } });
        [["50 %", 0.26], ["80 %", 0.18], ["95 %", 0.12]].forEach(function (one, index) {
          var cone = seeThrough("--series-2", one[1]);
          made.push(quiet(one[0] + " from", cone), quiet(one[0] + " to", cone));
          bands.push({ series: [at + 2 + index * 2, at + 1 + index * 2], fill: cone });
        });
      }
      return { series: made, bands: bands };
    }
    var taken = [];
    function underneath(u) {
      var ctx = u.ctx, box = u.bbox;
      function x(at) { return Math.max(box.left, Math.min(box.left + box.width, u.valToPos(at, "x", true))); }
      ctx.save();
      taken = [];
      given.events.forEach(function (one) {
        var left = x(one.from), right = x(one.to);
        if (right <= left) return;
        // What has no name yet is told apart from what is on record.
        ctx.fillStyle = one.detected ? seeThrough("--ink-3", 0.16) : seeThrough("--wait", 0.13);
        ctx.fillRect(left, box.top, Math.max(2, right - left), box.height);
        label(ctx, one.label, left, box, right - left);
      });
      given.moments.forEach(function (one) {
        if (one.at < u.scales.x.min || one.at > u.scales.x.max) return;
        var at = x(one.at);
        ctx.strokeStyle = colour("--edge");
        ctx.lineWidth = devicePixelRatio;
        ctx.setLineDash([3, 3]);
        ctx.beginPath();
        ctx.moveTo(at, box.top);
        ctx.lineTo(at, box.top + box.height);
        ctx.stroke();
        label(ctx, one.label, at, box, 0);
      });
      ctx.restore();
    }
    function label(ctx, text, at, box, width) {
      ctx.setLineDash([]);
      ctx.fillStyle = colour("--ink-2");
      ctx.font = 11 * devicePixelRatio + "px Inter, sans-serif";
      ctx.textBaseline = "top";
      var right = box.left + box.width - at - 6, left = at + width - box.left - 6;
      var fits = ctx.measureText(text).width < right || right >= left;
      /* On a narrow screen neither side may have room for all of it. */
      while (text.length > 1 && ctx.measureText(text).width > Math.max(fits ? right : left, 0)) text = text.slice(0, -2) + "…";
      var wide = ctx.measureText(text).width, begin = fits ? at + 3 : at + width - 3 - wide, row = 0;
      /* Each in the first row where nothing stands in its way. */
      while (taken.some(function (one) { return one.row === row && one.begin < begin + wide + 6 && begin < one.end + 6; })) row += 1;
      taken.push({ row: row, begin: begin, end: begin + wide });
      ctx.textAlign = "left";
      ctx.fillText(text, begin, box.top + (3 + 14 * row * devicePixelRatio));
    }
    /* Ticks closer together than a day read the time of day, and below it the day wherever a new one begins. */
    function ticks(u, moments, axis, space, step) {
      var form = given.step === "day" ? utc : times, before = "";
      if (step >= 86400) {
        var chosen = u.scales.x.max - u.scales.x.min > 300 * 86400 ? form.day : form.month;
        return moments.map(function (at) { return chosen.format(at * 1000); });
      }
      return moments.map(function (at) {
        var day = form.month.format(at * 1000), text = form.clock.format(at * 1000);
        if (day !== before) text += "\n" + day;
        before = day;
        return text;
      });
    }
    function draw() {
      if (plot) plot.destroy();
      var axis = { stroke: colour("--ink-3"), font: "11px JetBrains Mono, monospace", grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line-2"), width: 1 } };
      var shown = lines();
      plot = new uPlot({
        width: place.clientWidth || figure.clientWidth,
        height: HEIGHT,
        cursor: { drag: { x: true, y: false, setScale: false } },
        scales: {
          x: { range: function (u, low, high) { return low === null ? [given.from, given.to] : [low, high]; } },
          y: { range: function (u, low, high) {
            if (low === null) return [0, 1];
            var bottom = low >= 0 ? 0 : low * 1.08;
            return [bottom, Math.max(high > 0 ? high * 1.08 : 0, bottom + 1e-9)];
          } }
        },
        axes: [Object.assign({ values: ticks, space: 84 }, axis), Object.assign({ size: 58, values: function (u, values) { return values.map(number); } }, given.unit ? { label: given.unit, labelFont: axis.font, labelSize: 20 } : {}, axis)],
        // A band has no line of its own, so its key in the legend is a patch of its colour.
        legend: { markers: {
          width: 2,
          dash: function (u, index) { return u.series[index].dash ? "dashed" : "solid"; },
          stroke: function (u, index) { return shown.series[index].key || shown.series[index].stroke; },
          fill: function (u, index) { return shown.series[index].key || "transparent"; }
        } },
        series: shown.series,
        bands: shown.bands,
        hooks: {
          drawClear: [underneath],
          setSelect: [function (u) {
            if (u.select.width < 4) return;
            var from = u.posToVal(u.select.left, "x"), to = u.posToVal(u.select.left + u.select.width, "x");
            u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
            show(from, to);
          }]
        }
      }, joined(), place);
      // All six bounds of a forecast beside each other are more than anybody reads.
      place.querySelectorAll(".u-legend .u-series").forEach(function (row, index) {
        row.hidden = /^[58]0 %/.test(shown.series[index].label);
      });
      // A zoom shows its whole stretch, also where points begin later; a forecast is shown to its end.
      var last = given.cone && given.cone.at.length ? Math.max(given.to, given.cone.at[given.cone.at.length - 1]) : given.to;
      plot.setScale("x", { min: given.from, max: last });
    }
    function tell() {
      var known = given.value.filter(function (one) { return one !== null; });
      var by = { raw: "each sample", hour: "by the hour", day: "by the day (UTC)" }[given.step];
      var text = stretch() + ", " + by + ": ", after = given.unfinished ? " " + given.unfinished : "";
      if (!known.length) {
        says.textContent = text + "no sample." + after;
        return;
      }
      var tops = given.high || given.value, most = -1;
      tops.forEach(function (one, index) { if (one !== null && (most < 0 || one > tops[most])) most = index; });
      var sum = known.reduce(function (a, b) { return a + b; }, 0);
      says.textContent = text + known.length + " points, on average " + number(sum / known.length) + ", the most " + number(tops[most]) + (given.unit ? " " + given.unit : "") + " on " + pointAt(given.at[most]) + "." + after;
    }
    function stamp(at) { return new Date(Math.round(at) * 1000).toISOString().replace(".000Z", "Z"); }
    function show(from, to) {
      var now = Date.now() / 1000;
      if (to - from < SHORTEST) {
        var middle = (from + to) / 2;
        from = middle - SHORTEST / 2;
        to = middle + SHORTEST / 2;
      }
      to = Math.min(to, Math.max(now, first.to));
      from = Math.min(from, to - SHORTEST);
      var query = "from=" + stamp(from) + "&to=" + stamp(to);
      var mine = ++asked;
      place.setAttribute("aria-busy", "true");
      fetch(given.url + "?" + query, { headers: { Accept: "application/json" }, credentials: "same-origin" })
        .then(function (answer) {
          if (!answer.ok) throw new Error(String(answer.status));
          return answer.json();
        })
        .then(function (found) {
          if (mine !== asked) return; // a later question overtook this one
          given = found;
          draw();
          tell();
          behind.innerHTML = found.tables; // written and escaped by the portal, as on the first view
          history.replaceState(null, "", "?" + query);
          if (csv) csv.href = csv.href.split("?")[0] + "?" + query;
        })
        .catch(function () {
          if (mine === asked) says.textContent = "These points could not be read; what you see is as before. Try again.";
        })
        .finally(function () { if (mine === asked) place.removeAttribute("aria-busy"); });
    }
    function by(factor) {
      var middle = (given.from + given.to) / 2, half = (given.to - given.from) / 2 * factor;
      show(middle - half, middle + half);
    }
    function along(share) {
      var length = given.to - given.from;
      show(given.from + share * length, given.to + share * length);
    }
    function whole() { show(first.from, first.to); }
    function picture() {
      var from = plot.ctx.canvas, to = document.createElement("canvas"), head = 34 * devicePixelRatio;
      to.width = from.width;
      to.height = from.height + head;
      var ctx = to.getContext("2d");
      ctx.fillStyle = colour("--surface");
      ctx.fillRect(0, 0, to.width, to.height);
      ctx.fillStyle = colour("--ink");
      ctx.font = 13 * devicePixelRatio + "px Inter, sans-serif";
      ctx.textBaseline = "middle";
      ctx.fillText(given.title + (given.unit ? " (" + given.unit + ")" : "") + ", " + stretch(), 10 * devicePixelRatio, head / 2);
      ctx.drawImage(from, 0, head);
      to.toBlob(function (blob) { chartTools.hand(blob, chartTools.fileName(given.title, ".png")); }, "image/png");
    }

    [["Closer", by.bind(null, 0.5)], ["Wider", by.bind(null, 2)], ["Back", along.bind(null, -0.5)], ["Forward", along.bind(null, 0.5)], ["As it was", whole], ["Save as PNG", picture]].forEach(function (one) {
      bar.append(button(one[0], one[1]));
    });
    var hint = document.createElement("span");
    hint.className = "small muted";
    hint.textContent = "Drag over a stretch to zoom";
    bar.append(hint);
    place.addEventListener("keydown", function (event) {
      var act = { "+": by.bind(null, 0.5), "=": by.bind(null, 0.5), "-": by.bind(null, 2), ArrowLeft: along.bind(null, -0.25), ArrowRight: along.bind(null, 0.25), Home: whole }[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act();
    });
    var still = figure.querySelector(".zoom-still");
    still.before(bar);
    still.replaceWith(place);
    draw();
    tell();
    new ResizeObserver(function () {
      if (plot && place.clientWidth && place.clientWidth !== plot.width) plot.setSize({ width: place.clientWidth, height: HEIGHT });
    }).observe(place);
    new MutationObserver(draw).observe(root, { attributes: true, attributeFilter: ["data-bs-theme"] });
  }

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("figure[data-series]").forEach(arm);
  });
})();
