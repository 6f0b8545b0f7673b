/* Live pages: one event stream, closed while the tab is hidden, opened again when it is seen.
   Load after htmx.min.js and before sse.min.js: the extension then makes its streams here.
   An element [data-live] shows in words how the stream is doing. */
(function () {
  "use strict";
  var words = {
    opening: "connecting",
    open: "live",
    lost: "connection lost, trying again",
    asleep: "paused while hidden",
    closed: "ended"
  };
  function tell(state) {
    document.querySelectorAll("[data-live]").forEach(function (element) {
      element.dataset.live = state;
      element.textContent = words[state];
    });
  }

  /* Looks like an EventSource to the extension, and outlives the real ones behind it. */
  function TabSource(url) {
    this.url = url;
    this.listeners = [];
    this.lastId = "";
    this.ended = false;
    this.failures = 0;
    this.onopen = null;
    this.onerror = null;
    this.onVisibility = this.look.bind(this);
    document.addEventListener("visibilitychange", this.onVisibility);
    window.addEventListener("pagehide", this.onVisibility);
    window.addEventListener("pageshow", this.onVisibility);
    this.look();
  }
  TabSource.prototype = {
    get readyState() {
      if (this.ended) return EventSource.CLOSED;
      return this.source ? this.source.readyState : EventSource.CONNECTING;
    },
    look: function (event) {
      var away = document.hidden || (event && event.type === "pagehide");
      if (this.ended) return;
      if (away) {
        this.drop();
        tell("asleep");
      } else if (!this.source) {
        this.connect();
      }
    },
    connect: function () {
      var self = this;
      var url = new URL(this.url, location.href);
      if (this.lastId) url.searchParams.set("last_event_id", this.lastId);
      clearTimeout(this.timer);
      tell(this.failures ? "lost" : "opening");
      var source = (this.source = new EventSource(url, { withCredentials: true }));
      this.listeners.forEach(function (entry) { source.addEventListener(entry.name, entry.heard); });
      source.onopen = function (event) {
        self.failures = 0;
        tell("open");
        if (self.onopen) self.onopen(event);
      };
      source.onerror = function () {
        tell("lost");
        self.failures += 1;
        if (source.readyState === EventSource.CLOSED) { // refused for good (a proxy's error page): try again ourselves
          self.drop();
          self.timer = setTimeout(function () {
            if (!self.ended && !document.hidden && !self.source) self.connect();
          }, Math.min(30000, 1000 * Math.pow(2, self.failures)));
        }
      };
    },
    drop: function () {
      clearTimeout(this.timer);
      if (this.source) this.source.close();
      this.source = null;
    },
    addEventListener: function (name, listener) {
      var self = this;
      var entry = {
        name: name,
        listener: listener,
        heard: function (event) {
          if (event.lastEventId) self.lastId = event.lastEventId;
          listener.call(self, event);
        }
      };
      this.listeners.push(entry);
      if (this.source) this.source.addEventListener(name, entry.heard);
    },
    removeEventListener: function (name, listener) {
      var self = this;
      this.listeners = this.listeners.filter(function (entry) {
        var gone = entry.name === name && entry.listener === listener;
        if (gone && self.source) self.source.removeEventListener(name, entry.heard);
        return !gone;
      });
    },
    close: function () {
      if (this.ended) return;
      this.ended = true;
      this.drop();
      document.removeEventListener("visibilitychange", this.onVisibility);
      window.removeEventListener("pagehide", this.onVisibility);
      window.removeEventListener("pageshow", this.onVisibility);
      tell("closed");
    }
  };
  htmx.createEventSource = function (url) { return new TabSource(url); };

  /* What somebody is typing or has ticked stays while the page around it is renewed: the server knows nothing of it yet.
     Only a field with an id is told from its neighbours. */
  function isTouched(field) {
    if (field.localName === "select") {
      var given = Array.prototype.findIndex.call(field.options, function (one) { return one.defaultSelected; });
      return field.selectedIndex !== Math.max(0, given);
    }
    if (field.localName === "textarea") return field.value !== field.defaultValue;
    if (field.localName !== "input") return false;
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    return field.type !== "hidden" && field.value !== field.defaultValue;
  }
  document.addEventListener("DOMContentLoaded", function () {
    if (!window.Idiomorph) return;
    Idiomorph.defaults.callbacks.beforeNodeMorphed = function (was, comes) {
      return !(was.id && was.id === comes.id && isTouched(was));
    };
  });

  /* Every new journal entry that asks for it is read out. */
  document.addEventListener("htmx:sseMessage", function (event) {
    var spoken = event.target.querySelector && event.target.querySelector("[data-say]");
    var place = document.getElementById("say");
    if (spoken && place) place.textContent = spoken.dataset.say || spoken.textContent.trim();
  });
})();
