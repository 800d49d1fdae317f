const player = document.getElementById("player");
if (player) {
  const duration = Number(player.dataset.duration);
  const cursors = document.querySelectorAll("line.cursor");
  const words = document.querySelectorAll("[data-start]");
  let stopAt = Infinity;

  function show() {
    const now = player.currentTime;
    for (const cursor of cursors) {
      const x = Number(cursor.dataset.end) * Math.min(1, now / duration);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
    }
    for (const word of words) {
      const isNow = now >= Number(word.dataset.start) && now < Number(word.dataset.stop);
      word.classList.toggle("now", isNow && now > 0);
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

  for (const word of words) {
    const times = [Number(word.dataset.start), Number(word.dataset.stop)];
    word.addEventListener("click", (event) => {
      event.stopPropagation();
      play(...times);
    });
  }
  for (const panel of document.querySelectorAll("svg.time")) {
    panel.addEventListener("click", (event) => {
      const box = panel.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * panel.viewBox.baseVal.width;
      const time = (duration * x) / Number(panel.dataset.end);
      if (time < duration) play(time, Infinity);
    });
  }
  player.addEventListener("play", () => requestAnimationFrame(show));
  player.addEventListener("seeked", show);
  player.addEventListener("pause", () => { stopAt = Infinity; });
}
