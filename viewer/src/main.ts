// Brings a report to life. Everything in it can be read without this script; with it, the surfaces
// turn and every figure answers the pointer.

import { hoverFigures, Tooltip } from "./hover";
import { planes, type Report } from "./report";
import { Stage } from "./stage";
import { themeButton } from "./theme";
import css from "./viewer.css";

/** Attaches the viewer to a page that shows `report`. */
export function mount(report: Report): void {
  const style = document.createElement("style");
  style.textContent = css;
  document.head.append(style);
  let stage: Stage | undefined;
  const place = document.querySelector<HTMLElement>("#surfaces");
  if (place && planes(report).length > 0) {
    const fallback = place.querySelector<HTMLElement>(".static");
    try {
      stage = new Stage(place, report);
      if (fallback) fallback.hidden = true;
    } catch (error) {
      // Without WebGL the drawn relief stays, which is what it is there for.
      place.querySelectorAll(".tw-toolbar, .tw-stage").forEach((part) => part.remove());
      const note = document.createElement("p");
      note.className = "note";
      note.textContent = "This browser shows no WebGL, so the surfaces stand still.";
      place.append(note);
      console.info("no WebGL:", error);
    }
  }
  themeButton(document.querySelector("#tools"), () => stage?.recolour());
  hoverFigures(document, report, new Tooltip());
}

const data = document.getElementById("thalweg-data");
if (data?.textContent) mount(JSON.parse(data.textContent) as Report);
