// All surfaces side by side under one camera: turning one turns all.

import * as THREE from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import { describe, nearest, planes, type Plane, type Report } from "./report";
import { Scale } from "./scale";
import { HEIGHT, SurfaceScene } from "./surface3d";
import { currentColour } from "./theme";
import { gradient } from "./viridis";

interface Panel {
  scene: SurfaceScene;
  view: HTMLElement;
  labels: HTMLElement;
  readout: HTMLElement;
}

const HOME = new THREE.Vector3(2.52, 3.3, 3.64);
const NEAREST = 2.5;
const FARTHEST = 14;
// Just above the level of the floor.
const LOWEST = 0.495 * Math.PI;
const TARGET = new THREE.Vector3(0, 0.33 * HEIGHT, 0);

export class Stage {
  private readonly renderer: THREE.WebGLRenderer;
  private readonly camera = new THREE.PerspectiveCamera(32, 1, 0.1, 60);
  private readonly controls: OrbitControls;
  private readonly panels: Panel[] = [];
  private readonly bar = element("div", "tw-bar");
  private readonly canvas: HTMLCanvasElement;
  private readonly planes: Plane[];
  private scale: Scale;
  private waiting = false;

  /** Throws if the browser has no WebGL. */
  constructor(place: HTMLElement, private readonly report: Report) {
    this.renderer = new THREE.WebGLRenderer({ antialias: true, alpha: true });
    this.canvas = this.renderer.domElement;
    this.canvas.className = "tw-canvas";
    this.planes = planes(report);
    this.scale = this.makeScale("log");
    const stage = element("div", "tw-stage");
    const row = element("div", "tw-panels");
    const count = this.planes.length;
    row.style.setProperty("--columns", String(count === 4 ? 2 : Math.min(3, count)));
    for (const plane of this.planes) {
      const panel = element("figure", "tw-panel");
      const caption = element("figcaption", "");
      caption.textContent = plane.name;
      caption.title = plane.name;
      const view = element("div", "tw-view");
      const labels = element("div", "tw-labels");
      const readout = element("output", "tw-readout");
      readout.textContent = "\u00a0";
      view.append(labels);
      panel.append(caption, view, readout);
      row.append(panel);
      this.panels.push({ scene: new SurfaceScene(plane, this.scale), view, labels, readout });
    }
    stage.append(this.canvas, row, this.bar);
    place.append(this.toolbar(), stage);
    // The panels receive the pointer; the canvas lies behind them.
    this.controls = new OrbitControls(this.camera, row);
    // A finger that moves up or down scrolls the page, as the wheel does.
    row.style.touchAction = "pan-y";
    this.controls.enablePan = false;
    this.controls.enableDamping = true;
    this.controls.maxPolarAngle = LOWEST;
    this.controls.minDistance = NEAREST;
    this.controls.maxDistance = FARTHEST;
    this.home();
    this.controls.addEventListener("change", () => this.draw());
    this.listen(row);
    this.drawBar();
    new ResizeObserver(() => this.draw()).observe(stage);
    this.recolour();
  }

  private makeScale(kind: "log" | "linear"): Scale {
    return Scale.of(kind, this.planes.flatMap((plane) => plane.surface.loss));
  }

  private toolbar(): HTMLElement {
    const bar = element("div", "tw-toolbar");
    const group = element("div", "tw-choice");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "Scale of height and colour");
    const choices = (["log", "linear"] as const).map((kind) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = kind === "log" ? "Log scale" : "Linear scale";
      button.setAttribute("aria-pressed", String(kind === this.scale.kind));
      button.addEventListener("click", () => {
        for (const other of choices) other.setAttribute("aria-pressed", String(other === button));
        this.setScale(kind);
      });
      return button;
    });
    group.append(...choices);
    const action = (text: string, act: () => void) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.addEventListener("click", act);
      return button;
    };
    const hint = element("span", "tw-hint");
    hint.textContent = "Drag or arrow keys to turn · Ctrl and wheel, or + and −, to come nearer · point at a surface to read it";
    bar.append(
      group,
      action("From above", () => this.look(new THREE.Vector3(0, 7, 0.01))),
      action("Reset view", () => this.home()),
      hint,
    );
    return bar;
  }

  private listen(row: HTMLElement): void {
    // The wheel scrolls the page, unless the reader says that the surface is meant.
    row.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) event.stopImmediatePropagation();
      },
      { capture: true },
    );
    row.tabIndex = 0;
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", "Surfaces in three dimensions; arrow keys turn them, plus and minus zoom");
    row.addEventListener("keydown", (event) => {
      const turn: Record<string, [number, number]> = {
        ArrowLeft: [-0.12, 0],
        ArrowRight: [0.12, 0],
        ArrowUp: [0, -0.08],
        ArrowDown: [0, 0.08],
      };
      const zoom: Record<string, number> = { "+": 0.9, "=": 0.9, "-": 1 / 0.9 };
      const by = turn[event.key] ?? (zoom[event.key] ? [0, 0] : undefined);
      if (!by || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const at = new THREE.Spherical().setFromVector3(this.camera.position.clone().sub(TARGET));
      at.radius = Math.min(FARTHEST, Math.max(NEAREST, at.radius * (zoom[event.key] ?? 1)));
      at.theta += by[0];
      at.phi = Math.min(LOWEST, Math.max(0.02, at.phi + by[1]));
      this.look(new THREE.Vector3().setFromSpherical(at).add(TARGET));
    });
    for (const panel of this.panels) {
      panel.view.addEventListener("pointermove", (event) => this.pointAt(panel, event));
      panel.view.addEventListener("pointerleave", () => this.pointAway());
    }
  }

  private home(): void {
    this.look(HOME);
  }

  private look(from: THREE.Vector3): void {
    this.controls.target.copy(TARGET);
    // Without this the turn that still dies away would be added to the view that is asked for.
    this.controls.enableDamping = false;
    this.controls.update();
    this.controls.enableDamping = true;
    this.camera.position.copy(from);
    this.controls.update();
    this.draw();
  }

  private setScale(kind: "log" | "linear"): void {
    this.scale = this.makeScale(kind);
    for (const panel of this.panels) panel.scene.setScale(this.scale);
    this.drawBar();
    this.recolour();
  }

  /** Takes the page's colours anew. */
  recolour(): void {
    const grid = currentColour("--frame");
    for (const panel of this.panels) panel.scene.setColours(grid);
    this.draw();
  }

  private pointAt(panel: Panel, event: PointerEvent): void {
    const box = panel.view.getBoundingClientRect();
    const pointer = new THREE.Vector2(
      (2 * (event.clientX - box.left)) / box.width - 1,
      1 - (2 * (event.clientY - box.top)) / box.height,
    );
    const ray = new THREE.Raycaster();
    ray.setFromCamera(pointer, this.camera);
    const hit = ray.intersectObject(panel.scene.mesh, false)[0];
    if (!hit) return this.pointAway();
    const { x, y } = panel.scene.plane.surface;
    const span = (values: number[], t: number) =>
      values[0] + ((t + 1) / 2) * (values[values.length - 1] - values[0]);
    const atX = span(x, hit.point.x);
    const atY = span(y, -hit.point.z);
    // The same place on every surface, so that they compare.
    for (const other of this.panels) {
      const { surface } = other.scene.plane;
      const row = nearest(surface.y, atY);
      const column = nearest(surface.x, atX);
      other.scene.point(row, column);
      other.readout.textContent = describe(surface, row, column)
        .map(([name, text]) => `${name} ${text}`)
        .join("   ");
    }
    this.draw();
  }

  private pointAway(): void {
    for (const panel of this.panels) {
      panel.scene.unpoint();
      panel.readout.textContent = "\u00a0";
    }
    this.draw();
  }

  /** The key to the colours. */
  private drawBar(): void {
    const strip = element("div", "tw-strip");
    strip.style.background = `linear-gradient(to top, ${gradient()})`;
    const ticks = this.scale.ticks(8).map((tick) => {
      const label = element("span", "tw-tick");
      label.style.bottom = `${100 * this.scale.position(tick.value)}%`;
      label.textContent = tick.label;
      return label;
    });
    const name = element("span", "tw-name");
    name.textContent = `${this.report.loss_name}, ${this.scale.kind} scale`;
    const key = element("div", "tw-key");
    key.append(strip, ...ticks);
    this.bar.replaceChildren(key, name);
  }

  /** Draws at the next frame, once. */
  private draw(): void {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.controls.update();
      this.render();
    });
  }

  private render(): void {
    const area = this.canvas.parentElement!.getBoundingClientRect();
    if (area.width === 0) return;
    const ratio = Math.min(2, window.devicePixelRatio);
    if (this.renderer.getPixelRatio() !== ratio) this.renderer.setPixelRatio(ratio);
    const size = this.renderer.getSize(new THREE.Vector2());
    if (size.x !== area.width || size.y !== area.height) {
      this.renderer.setSize(area.width, area.height);
    }
    this.renderer.setScissorTest(false);
    this.renderer.clear();
    this.renderer.setScissorTest(true);
    for (const panel of this.panels) {
      const box = panel.view.getBoundingClientRect();
      const left = box.left - area.left;
      const bottom = area.bottom - box.bottom;
      this.camera.aspect = box.width / box.height;
      // A narrow panel needs a wider angle for the same box.
      this.camera.fov = this.camera.aspect < 1.1 ? 32 * (1.1 / this.camera.aspect) ** 0.8 : 32;
      this.camera.updateProjectionMatrix();
      this.renderer.setViewport(left, bottom, box.width, box.height);
      this.renderer.setScissor(left, bottom, box.width, box.height);
      panel.scene.face(this.camera);
      this.renderer.render(panel.scene.scene, this.camera);
      this.writeLabels(panel, box);
    }
  }

  private writeLabels(panel: Panel, box: DOMRect): void {
    const labels = panel.scene.labels(this.camera, this.scale);
    while (panel.labels.children.length < labels.length) panel.labels.append(element("span", ""));
    [...panel.labels.children].forEach((child, index) => {
      const span = child as HTMLElement;
      const label = labels[index];
      span.hidden = !label;
      if (!label) return;
      const at = label.at.clone().project(this.camera);
      span.className = label.kind;
      span.textContent = label.text;
      span.style.left = `${((at.x + 1) / 2) * box.width}px`;
      span.style.top = `${((1 - at.y) / 2) * box.height}px`;
    });
  }
}

function element(tag: string, name: string): HTMLElement {
  const made = document.createElement(tag);
  if (name) made.className = name;
  return made;
}
