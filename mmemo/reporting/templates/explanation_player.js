const player = document.getElementById("player");
if (player) {
  const duration = Number(player.dataset.duration);
  const figures = [...document.querySelectorAll(".time")];
  /* Of each word its buttons and, in the figures, its bars. */
  const words = [...document.querySelectorAll("[data-word]")].map((button) => ({
    parts: [button],
    start: Number(button.dataset.start),
    stop: Number(button.dataset.stop),
  }));
  const first = document.querySelector("[data-word]")?.parentElement;
  for (const button of first?.querySelectorAll("[data-word]") ?? []) {
    const bars = document.querySelectorAll(`[id$="-word-${button.dataset.word}"]`);
    words.find((word) => word.parts[0] === button).parts.push(...bars);
  }
  let stopAt = Infinity;

  function show() {
    const now = player.currentTime;
    for (const figure of figures) {
      const [start, end] = [Number(figure.dataset.start), Number(figure.dataset.end)];
      const place = start + (end - start) * Math.min(1, now / duration);
      const cursor = figure.querySelector(".cursor");
      cursor.style.left = `${100 * place}%`;
      /* At the start it would hide the first letters of titles. */
      cursor.hidden = now === 0 && player.paused;
    }
    for (const { parts, start, stop } of words) {
      const isNow = now > 0 && now >= start && now < stop;
      for (const part of parts) part.classList.toggle("now", isNow);
    }
    if (now >= stopAt) {
      player.pause();
      stopAt = Infinity;
    }
    if (!player.paused) requestAnimationFrame(show);
  }

  function play(from, to) {
    stopAt = to;
    player.currentTime = Math.min(from, duration);
    player.play();
  }

  for (const { parts, start, stop } of words) {
    for (const part of parts) {
      part.addEventListener("click", (event) => {
        event.stopPropagation();
        play(start, stop);
      });
    }
  }
  for (const figure of figures) {
    figure.addEventListener("click", (event) => {
      const box = figure.getBoundingClientRect();
      const [start, end] = [Number(figure.dataset.start), Number(figure.dataset.end)];
      const share = ((event.clientX - box.left) / box.width - start) / (end - start);
      if (share >= 0 && share < 1) play(duration * share, Infinity);
    });
  }
  player.addEventListener("play", () => requestAnimationFrame(show));
  player.addEventListener("seeked", show);
  player.addEventListener("pause", () => { stopAt = Infinity; });
  show();
}
