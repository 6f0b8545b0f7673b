/* What every page gets: relative times, dialogs, menus, palette, shortcuts, copying, guards for forms.
   Everything is delegated from the document, so parts that are swapped in later work without set-up. */
(function () {
  "use strict";
  var root = document.documentElement;

  /* A word for screen readers. */
  function say(text) {
    var place = document.getElementById("say");
    if (place) place.textContent = text;
  }

  /* Times: the server writes UTC in full; here it becomes "3 min ago", the exact moment on hover. */
  var zone = root.dataset.tz || undefined;
  function formatter(options, timeZone) {
    try {
      return new Intl.DateTimeFormat("en-GB", Object.assign({ timeZone: timeZone, hourCycle: "h23" }, options));
    } catch (unknownZone) {
      return new Intl.DateTimeFormat("en-GB", Object.assign({ timeZone: "UTC", hourCycle: "h23" }, options));
    }
  }
  var whole = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" };
  var exactLocal = formatter(whole, zone);
  var exactUtc = formatter(whole, "UTC");
  var clock = formatter({ hour: "2-digit", minute: "2-digit", second: "2-digit" }, zone);
  var dayOnly = formatter({ day: "numeric", month: "short", year: "numeric" }, zone);

  function relative(at, now) {
    var seconds = Math.round((at - now) / 1000);
    var ahead = seconds > 0;
    var s = Math.abs(seconds);
    if (s < 5) return "just now";
    var text;
    if (s < 100) text = s + " s";
    else if (s < 5400) text = Math.round(s / 60) + " min";
    else if (s < 129600) text = Math.round(s / 3600) + " h";
    else if (s < 14 * 86400) text = Math.round(s / 86400) + " days";
    else return dayOnly.format(at);
    return ahead ? "in " + text : text + " ago";
  }
  function renderTimes() {
    var now = Date.now();
    document.querySelectorAll("time[data-when]").forEach(function (element) {
      var at = new Date(element.getAttribute("datetime"));
      if (isNaN(at)) return;
      var text = element.dataset.when === "clock" ? clock.format(at) : relative(at, now);
      if (element.textContent !== text) element.textContent = text;
      if (element.dataset.exact !== element.getAttribute("datetime")) {
        var local = exactLocal.format(at);
        var utc = exactUtc.format(at);
        element.title = local === utc ? utc : local + " · " + utc;
        element.dataset.exact = element.getAttribute("datetime");
      }
    });
  }
  /* On paper "3 min ago" means nothing: print the exact moment. */
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("time[data-when]").forEach(function (element) {
      var at = new Date(element.getAttribute("datetime"));
      if (!isNaN(at) && element.dataset.when !== "clock") element.textContent = exactLocal.format(at);
    });
  });
  window.addEventListener("afterprint", renderTimes);
  var beat = null;
  function startBeat() {
    clearInterval(beat);
    if (!document.hidden) {
      renderTimes();
      beat = setInterval(renderTimes, 5000);
    }
  }
  document.addEventListener("visibilitychange", startBeat);
  ["htmx:afterSwap", "htmx:sseMessage", "htmx:oobAfterSwap"].forEach(function (name) {
    document.addEventListener(name, renderTimes);
  });

  /* Dialogs: native, so focus stays inside and Esc closes. */
  function openDialog(id, opener) {
    var dialog = document.getElementById(id);
    if (!dialog || dialog.open) return false;
    dialog.showModal();
    dialog.addEventListener("close", function () { if (opener && opener.isConnected) opener.focus(); }, { once: true });
    return true;
  }

  /* Palette: the links of this page first, then what the server finds. */
  var found = [];
  var selected = 0;
  var asked = null;
  function palette() { return document.getElementById("palette"); }
  function pageLinks() {
    var seen = {};
    var links = [];
    document.querySelectorAll("nav a[href], .menu-list a[href], main a[href]").forEach(function (link) {
      var label = link.textContent.replace(/\s+/g, " ").trim();
      var url = link.getAttribute("href");
      if (!label || url.charAt(0) === "#" || link.closest("dialog") || seen[url]) return;
      seen[url] = true;
      links.push({ label: label, url: url, hint: link.closest("main") ? "on this page" : "" });
    });
    return links;
  }
  function matches(item, words) {
    var text = (item.label + " " + (item.hint || "")).toLowerCase();
    return words.every(function (word) { return text.indexOf(word) >= 0; });
  }
  function choose(index) {
    var rows = palette().querySelectorAll("[role=option]");
    selected = rows.length ? (index + rows.length) % rows.length : 0;
    rows.forEach(function (row, at) {
      row.setAttribute("aria-selected", String(at === selected));
      if (at === selected) {
        row.scrollIntoView({ block: "nearest" });
        palette().querySelector("input").setAttribute("aria-activedescendant", row.id);
      }
    });
  }
  function show(items, waiting) {
    var list = palette().querySelector(".palette-list");
    list.textContent = "";
    items.slice(0, 40).forEach(function (item, index) {
      var row = document.createElement("li");
      row.id = "palette-" + index;
      row.setAttribute("role", "option");
      var link = document.createElement("a");
      link.href = item.url;
      link.tabIndex = -1;
      var label = document.createElement("span");
      label.textContent = item.label;
      link.append(label);
      if (item.hint) {
        var hint = document.createElement("span");
        hint.className = "hint";
        hint.textContent = item.hint;
        link.append(hint);
      }
      row.append(link);
      list.append(row);
    });
    list.hidden = items.length === 0;
    palette().querySelector(".palette-none").hidden = waiting || items.length > 0;
    choose(0);
  }
  function refresh() {
    var text = palette().querySelector("input").value.trim().toLowerCase();
    var words = text.split(/\s+/).filter(Boolean);
    var local = found.filter(function (item) { return matches(item, words); });
    var url = document.body.dataset.paletteUrl;
    if (asked) asked.abort();
    show(local, Boolean(url && text));
    if (!url || !text) return;
    var mine = (asked = new AbortController());
    fetch(url + (url.indexOf("?") < 0 ? "?" : "&") + "q=" + encodeURIComponent(text), {
      headers: { Accept: "application/json" }, credentials: "same-origin", signal: mine.signal
    }).then(function (answer) {
      return answer.ok ? answer.json() : { items: [] };
    }).then(function (answer) {
      if (mine.signal.aborted) return;
      var known = {};
      local.forEach(function (item) { known[item.url] = true; });
      show(local.concat((answer.items || []).filter(function (item) { return !known[item.url] && /^\/(?!\/)/.test(item.url); })));
    }).catch(function (error) {
      if (error.name === "AbortError") return;
      show(local);
      say("The search did not answer. Only links of this page are listed.");
    });
  }
  function openPalette(opener) {
    if (!openDialog("palette", opener)) return;
    found = pageLinks();
    var input = palette().querySelector("input");
    input.value = "";
    refresh();
    input.focus();
  }

  /* Clicks. */
  document.addEventListener("click", function (event) {
    var target = event.target;
    var opener = target.closest("[data-open-dialog]");
    if (opener && openDialog(opener.dataset.openDialog, opener)) {
      event.preventDefault();
      return;
    }
    var find = target.closest("[data-open-palette]");
    if (find) return openPalette(find);
    var closer = target.closest("[data-close-dialog]");
    if (closer) return closer.closest("dialog").close();
    if (target instanceof HTMLDialogElement) return target.close(); // the backdrop
    var dismiss = target.closest("[data-dismiss]");
    if (dismiss) return dismiss.closest(".alert").remove();
    var copy = target.closest("[data-copy]");
    if (copy) return copyText(copy);
    document.querySelectorAll("details[data-menu][open]").forEach(function (menu) {
      if (!menu.contains(target)) menu.open = false;
    });
    var off = target.closest(".btn[aria-disabled=true]");
    if (off) event.preventDefault();
  });

  /* Copying a reference. */
  function copyText(button) {
    var text = button.dataset.copy;
    function done() {
      button.classList.add("is-done");
      say("Copied " + text);
      setTimeout(function () { button.classList.remove("is-done"); }, 1500);
    }
    function byHand() { // no clipboard on plain http: select the text, so that the next key press copies it
      var range = document.createRange();
      range.selectNodeContents(button.previousElementSibling);
      var selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      say("Selected " + text + ". Press Ctrl C to copy it.");
    }
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, byHand);
    else byHand();
  }

  /* Keys. */
  var leader = 0;
  function typing(target) {
    return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
  }
  document.addEventListener("keydown", function (event) {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      return palette().open ? palette().close() : openPalette(document.activeElement);
    }
    if (palette().open) {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        choose(selected + (event.key === "ArrowDown" ? 1 : -1));
      } else if (event.key === "Enter") {
        var row = palette().querySelectorAll("[role=option] a")[selected];
        event.preventDefault();
        if (row) row.click();
      }
      return;
    }
    if (event.key === "Escape") {
      document.querySelectorAll("details[data-menu][open]").forEach(function (menu) {
        menu.open = false;
        menu.querySelector("summary").focus();
      });
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === "?") {
      openDialog("shortcuts", document.activeElement);
    } else if (event.key === "g") {
      leader = Date.now();
    } else if (Date.now() - leader < 1500) {
      leader = 0;
      var link = Array.prototype.find.call(document.querySelectorAll("a[data-shortcut]"), function (one) {
        return one.dataset.shortcut === event.key;
      });
      if (link) link.click();
    }
  });
  function listShortcuts() {
    var list = document.querySelector("[data-shortcut-list]");
    if (!list) return;
    document.querySelectorAll("a[data-shortcut]").forEach(function (link) {
      var keys = document.createElement("dt");
      ["g", link.dataset.shortcut].forEach(function (key, index) {
        if (index) keys.append(" then ");
        var cap = document.createElement("kbd");
        cap.textContent = key;
        keys.append(cap);
      });
      var what = document.createElement("dd");
      what.textContent = "Go to " + link.textContent.trim();
      list.append(keys, what);
    });
  }

  /* Forms: one click sends once; leaving a changed form asks. */
  var dirty = new Set();
  document.addEventListener("input", function (event) {
    if (event.target.closest("#palette")) return refresh();
    var form = event.target.form;
    if (form && form.hasAttribute("data-guard")) dirty.add(form);
  });
  document.addEventListener("submit", function (event) {
    var form = event.target;
    dirty.delete(form);
    if (!form.hasAttribute("data-once")) return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    form.querySelectorAll("button[type=submit]").forEach(function (button) {
      button.setAttribute("aria-disabled", "true");
    });
  });
  window.addEventListener("beforeunload", function (event) {
    var open = Array.from(dirty).some(function (form) { return form.isConnected; });
    if (open) event.preventDefault();
  });
  window.addEventListener("pageshow", function (event) { // back from the cache: the buttons work again
    if (!event.persisted) return;
    document.querySelectorAll("form[data-sent]").forEach(function (form) {
      delete form.dataset.sent;
      form.querySelectorAll("button[aria-disabled]").forEach(function (button) { button.removeAttribute("aria-disabled"); });
    });
  });

  document.addEventListener("DOMContentLoaded", function () {
    startBeat();
    listShortcuts();
    var first = document.querySelector("[data-autofocus]");
    if (first) first.focus();
    document.querySelectorAll("[aria-keyshortcuts='mac'], .tool-find kbd").forEach(function (cap) {
      if (/Mac|iPhone|iPad/.test(navigator.platform)) cap.textContent = "⌘ K";
    });
  });
})();
