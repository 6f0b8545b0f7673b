/* What if: a slider beside each number, and the answer as soon as something moves. Without this the form has a button. */
(function () {
  "use strict";
  function arm(form) {
    var answer = document.getElementById(form.dataset.whatIf);
    var asked = 0, timer = null;
    function ask() {
      var mine = ++asked;
      var query = new URLSearchParams(new FormData(form));
      answer.setAttribute("aria-busy", "true");
      fetch(form.action + "?" + query + "&part=answer", { credentials: "same-origin" })
        .then(function (found) { return found.ok || found.status === 422 ? found.text() : Promise.reject(found.status); })
        .then(function (text) { if (mine === asked) answer.innerHTML = text; })
        .catch(function () { if (mine === asked) answer.innerHTML = "<p class=\"soft what-if-first\">There is no answer at the moment. Move something to try again.</p>"; })
        .finally(function () { if (mine === asked) answer.removeAttribute("aria-busy"); });
    }
    function soon() {
      clearTimeout(timer);
      timer = setTimeout(ask, 120);
    }
    form.querySelectorAll("input[type='number'][data-low]").forEach(function (field) {
      var slider = document.createElement("input");
      slider.type = "range";
      slider.className = "form-range";
      slider.min = field.dataset.low;
      slider.max = field.dataset.high;
      slider.step = field.dataset.step;
      slider.value = field.value === "" ? field.dataset.low : field.value;
      var label = form.querySelector("label[for='" + field.id + "']");
      slider.setAttribute("aria-label", label ? label.textContent.trim() : field.name);
      slider.addEventListener("input", function () {
        field.value = slider.value;
        soon();
      });
      field.addEventListener("input", function () { if (field.value !== "") slider.value = field.value; });
      field.after(slider);
    });
    form.addEventListener("input", function (event) { if (event.target.type !== "range") soon(); });
    form.addEventListener("submit", function (event) {
      event.preventDefault();
      ask();
    });
  }
  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("form[data-what-if]").forEach(arm);
  });
})();
