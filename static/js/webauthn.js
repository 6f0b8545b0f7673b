/* Asks a security key: a form with data-webauthn="get" (log in) or "create" (add one), the server's options in
   data-webauthn-options, and a hidden field `credential` that takes the answer as JSON. */
(() => {
  "use strict";

  const bytes = (text) => {
    const plain = text.replace(/-/g, "+").replace(/_/g, "/");
    return Uint8Array.from(atob(plain), (char) => char.charCodeAt(0));
  };
  const text = (buffer) => {
    let binary = "";
    for (const byte of new Uint8Array(buffer)) binary += String.fromCharCode(byte);
    return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  };
  const listed = (credentials) => (credentials || []).map((one) => ({ ...one, id: bytes(one.id) }));

  async function ask(kind, options) {
    const asked = { ...options.publicKey, challenge: bytes(options.publicKey.challenge) };
    if (kind === "create") {
      asked.user = { ...asked.user, id: bytes(asked.user.id) };
      asked.excludeCredentials = listed(asked.excludeCredentials);
    } else {
      asked.allowCredentials = listed(asked.allowCredentials);
    }
    const found = await navigator.credentials[kind]({ publicKey: asked });
    const response = { clientDataJSON: text(found.response.clientDataJSON) };
    if (kind === "create") {
      response.attestationObject = text(found.response.attestationObject);
      response.transports = found.response.getTransports ? found.response.getTransports() : [];
    } else {
      response.authenticatorData = text(found.response.authenticatorData);
      response.signature = text(found.response.signature);
      response.userHandle = found.response.userHandle ? text(found.response.userHandle) : null;
    }
    return {
      id: found.id,
      rawId: text(found.rawId),
      type: found.type,
      response,
      clientExtensionResults: found.getClientExtensionResults(),
    };
  }

  const WHY = {
    NotAllowedError: "Nothing was done: the key was not touched in time, or you said no. Try once more.",
    InvalidStateError: "This key is added already.",
    NotSupportedError: "This browser cannot use such a key. Use another way.",
    SecurityError: "Security keys work only at the portal's own address, over https.",
  };

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-webauthn]");
    if (!form || form.elements.credential.value) return;
    event.preventDefault();
    const says = form.querySelector("[data-webauthn-says]");
    const button = form.querySelector("button[type=submit]");
    says.hidden = true;
    const tell = (why) => {
      says.firstElementChild.textContent = why;
      says.hidden = false;
      button.disabled = false;
    };
    if (!window.PublicKeyCredential) {
      tell("This browser knows no security keys. Use another way.");
      return;
    }
    button.disabled = true;
    ask(form.dataset.webauthn, JSON.parse(form.dataset.webauthnOptions)).then(
      (answer) => {
        form.elements.credential.value = JSON.stringify(answer);
        form.submit();
      },
      (error) => tell(WHY[error.name] || "The key gave no answer that could be used. Try once more."),
    );
  });
})();
