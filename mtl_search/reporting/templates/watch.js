"use strict";
// Asks for the state of the run again and again, and draws what has changed.
const CONFIG = {
  responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
};
const EVERY = 2000; // milliseconds: an epoch of the smallest networks takes about as long
let shown = "";

function draw(name, figure) {
  const place = document.getElementById(name);
  place.hidden = figure === undefined;
  if (figure !== undefined) Plotly.react(place, figure.data, figure.layout, CONFIG);
}

function show(state) {
  document.getElementById("told").textContent = state.told;
  if (state.version === shown) return;
  shown = state.version;
  // The text was made by the server, which escapes what others wrote; no script in it would run either.
  document.getElementById("text").innerHTML = state.text;
  document.getElementById("headline").textContent = state.headline;
  document.getElementById("caption").textContent = state.caption;
  for (const name of ["pareto", "loss", "accuracy", "hypervolume"]) draw(name, state.figures[name]);
}

async function look() {
  try {
    const answer = await fetch("/state", { cache: "no-store" });
    show(await answer.json());
  } catch (error) {
    document.getElementById("told").textContent = "mtl-search watch has ended; what is shown is from before.";
  }
  setTimeout(look, EVERY);
}

look();
