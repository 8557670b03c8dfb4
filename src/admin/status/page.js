"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const clock = () => new Date().toLocaleTimeString();
  let seen = clock(), timer;
  const tell = (words, lost) => {
    at("live").textContent = words;
    at("lost").hidden = !lost;
    // Announced once, not at every attempt.
    if (at("lost").textContent !== lost) at("lost").textContent = lost;
  };
  const look = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const reply = await fetch("status?as=html", { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!reply.ok) throw reply.status;
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
      for (const part of fresh.querySelectorAll("[id]")) {
        const shown = at(part.id);
        if (!shown) continue;
        if (shown.className !== part.className) shown.className = part.className;
        if (shown.innerHTML !== part.innerHTML) shown.innerHTML = part.innerHTML;
      }
      document.title = at("verdict").textContent + " – voyage-gateway";
      seen = clock();
      tell("Live", "");
    } catch {
      document.title = "No response – voyage-gateway";
      tell("Not live", "No response from the gateway. The values below are from " + seen + ".");
    }
    clearTimeout(timer);
    timer = setTimeout(look, 2000);
  };
  document.addEventListener("visibilitychange", look);
  tell("Live", "");
  timer = setTimeout(look, 2000);
})();
