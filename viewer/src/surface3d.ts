// One surface in its box: mesh, grid lines, walls, marks.

import * as THREE from "three";
import { linearTicks, type Scale, type Tick } from "./scale";
import type { Plane } from "./report";
import { viridis } from "./viridis";

/** The box: x and z from -1 to 1, heights from 0 to this. */
export const HEIGHT = 1.45;

/** Lines of equal loss, at most. */
const MOST_LEVELS = 16;
/** A level that no height reaches. */
const NO_LEVEL = -9;

let map: THREE.DataTexture | undefined;

function colourMap(): THREE.DataTexture {
  if (map) return map;
  const n = 512;
  const data = new Uint8Array(4 * n);
  for (let i = 0; i < n; i++) data.set([...viridis(i / (n - 1)).map(Math.round), 255], 4 * i);
  map = new THREE.DataTexture(data, n, 1);
  map.colorSpace = THREE.SRGBColorSpace;
  map.magFilter = THREE.LinearFilter;
  map.minFilter = THREE.LinearFilter;
  map.needsUpdate = true;
  return map;
}

/** A text in the box, and the class that it has. */
interface Label {
  text: string;
  at: THREE.Vector3;
  kind: "" | "tw-axis" | "tw-height" | "tw-network";
}

/** A length along a side of the box, -1 to 1. */
function side(values: number[], at: number): number {
  const first = values[0];
  const last = values[values.length - 1];
  return (2 * (at - first)) / (last - first) - 1;
}

export class SurfaceScene {
  readonly scene = new THREE.Scene();
  readonly mesh: THREE.Mesh;
  readonly xTicks: Tick[];
  readonly yTicks: Tick[];
  private readonly geometry = new THREE.BufferGeometry();
  private readonly lines: THREE.LineSegments;
  private readonly walls: { group: THREE.LineSegments; normal: [number, number] }[] = [];
  private readonly box = new THREE.Group();
  private readonly levels = { value: new Array<number>(MOST_LEVELS).fill(NO_LEVEL) };
  private readonly cursor: THREE.Mesh;
  private readonly lowest: THREE.Mesh;
  private readonly trajectory = new THREE.Group();
  private heights: Float32Array;

  constructor(readonly plane: Plane, scale: Scale) {
    const { surface } = plane;
    const points = surface.x.length * surface.y.length;
    this.heights = new Float32Array(points);
    this.xTicks = linearTicks(Math.min(...surface.x), Math.max(...surface.x), 4);
    this.yTicks = linearTicks(Math.min(...surface.y), Math.max(...surface.y), 4);
    this.geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(3 * points), 3));
    this.geometry.setAttribute("uv", new THREE.BufferAttribute(new Float32Array(2 * points), 2));
    this.geometry.setIndex(this.triangles());
    this.mesh = new THREE.Mesh(this.geometry, this.material());
    const lineGeometry = new THREE.BufferGeometry();
    lineGeometry.setAttribute("position", this.geometry.getAttribute("position"));
    lineGeometry.setIndex(this.gridLines());
    const lineMaterial = new THREE.LineBasicMaterial({ color: 0x05080c, transparent: true, opacity: 0.22 });
    this.lines = new THREE.LineSegments(lineGeometry, lineMaterial);
    this.cursor = new THREE.Mesh(
      new THREE.SphereGeometry(0.028, 20, 14),
      new THREE.MeshBasicMaterial({ color: 0xffffff }),
    );
    this.cursor.visible = false;
    this.lowest = new THREE.Mesh(
      new THREE.OctahedronGeometry(0.038),
      new THREE.MeshBasicMaterial({ color: 0xff8a3d }),
    );
    const lamp = new THREE.DirectionalLight(0xffffff, 1.55);
    lamp.position.set(-0.7, 1.6, 1.0);
    const fill = new THREE.DirectionalLight(0xffffff, 0.45);
    fill.position.set(1.2, 0.8, -0.8);
    const sky = new THREE.HemisphereLight(0xffffff, 0xb4bcc8, 1.8);
    this.scene.add(this.mesh, this.lines, this.box, this.cursor, this.lowest, this.trajectory, lamp, fill, sky);
    this.setScale(scale);
  }

  /** The height of a grid point in the box, or NaN. */
  private height(row: number, column: number): number {
    return this.heights[row * this.plane.surface.x.length + column];
  }

  /** A grid point in the box. The second direction runs away from the viewer. */
  private place(row: number, column: number): THREE.Vector3 {
    const { x, y } = this.plane.surface;
    return new THREE.Vector3(side(x, x[column]), this.height(row, column), -side(y, y[row]));
  }

  private triangles(): number[] {
    const { x, y, loss } = this.plane.surface;
    const index: number[] = [];
    for (let row = 0; row + 1 < y.length; row++) {
      for (let column = 0; column + 1 < x.length; column++) {
        const a = row * x.length + column;
        const corners = [a, a + 1, a + x.length + 1, a + x.length];
        // A cell with a corner that is not finite stays open.
        if (corners.some((corner) => loss[corner] === null)) continue;
        index.push(a, a + 1, a + x.length, a + 1, a + x.length + 1, a + x.length);
      }
    }
    return index;
  }

  private gridLines(): number[] {
    const { x, y, loss } = this.plane.surface;
    const index: number[] = [];
    // Fine grids would turn black under their own lines.
    const stride = Math.max(1, Math.round(Math.max(x.length, y.length) / 40));
    const link = (a: number, b: number) => {
      if (loss[a] !== null && loss[b] !== null) index.push(a, b);
    };
    for (let row = 0; row < y.length; row++) {
      for (let column = 0; column < x.length; column++) {
        const a = row * x.length + column;
        const edgeRow = row % stride === 0 || row === y.length - 1;
        const edgeColumn = column % stride === 0 || column === x.length - 1;
        if (edgeRow && column + 1 < x.length) link(a, a + 1);
        if (edgeColumn && row + 1 < y.length) link(a, a + x.length);
      }
    }
    return index;
  }

  private material(): THREE.Material {
    const material = new THREE.MeshLambertMaterial({
      map: colourMap(),
      side: THREE.DoubleSide,
      polygonOffset: true,
      polygonOffsetFactor: 1,
      polygonOffsetUnits: 1,
    });
    // Lines of equal loss at every tick, drawn in the surface itself.
    material.onBeforeCompile = (shader) => {
      shader.uniforms.levels = this.levels;
      shader.fragmentShader = shader.fragmentShader
        .replace("#include <common>", `#include <common>\nuniform float levels[${MOST_LEVELS}];`)
        .replace(
          "#include <map_fragment>",
          `#include <map_fragment>
          float away = 9.0;
          float change = max(fwidth(vMapUv.x), 1e-6);
          for (int i = 0; i < ${MOST_LEVELS}; i++) away = min(away, abs(vMapUv.x - levels[i]) / change);
          // A flat floor would be one wide line.
          float line = (1.0 - smoothstep(0.35, 1.15, away)) * smoothstep(0.004, 0.012, vMapUv.x);
          vec3 ink = vMapUv.x < 0.62 ? vec3(1.0) : vec3(0.02);
          diffuseColor.rgb = mix(diffuseColor.rgb, ink, 0.55 * line);`,
        );
    };
    return material;
  }

  /** Puts the surface on another scale of heights and colours. */
  setScale(scale: Scale): void {
    const { surface } = this.plane;
    const losses = surface.loss;
    const position = this.geometry.getAttribute("position") as THREE.BufferAttribute;
    const uv = this.geometry.getAttribute("uv") as THREE.BufferAttribute;
    let lowest = -1;
    losses.forEach((loss, index) => {
      const t = loss === null ? 0 : scale.position(loss);
      if (loss !== null && (lowest < 0 || loss < losses[lowest]!)) lowest = index;
      this.heights[index] = loss === null ? NaN : HEIGHT * t;
      const row = Math.floor(index / surface.x.length);
      const column = index % surface.x.length;
      position.setXYZ(index, side(surface.x, surface.x[column]), HEIGHT * t, -side(surface.y, surface.y[row]));
      uv.setXY(index, t, 0.5);
    });
    position.needsUpdate = true;
    uv.needsUpdate = true;
    this.geometry.computeVertexNormals();
    this.geometry.computeBoundingSphere();
    this.geometry.computeBoundingBox();
    const ticks = scale.ticks(6);
    const levels = scale.ticks(8);
    this.levels.value.forEach((_, index, all) => {
      all[index] = index < levels.length ? scale.position(levels[index].value) : NO_LEVEL;
    });
    if (lowest >= 0) {
      const at = this.place(Math.floor(lowest / surface.x.length), lowest % surface.x.length);
      this.lowest.position.copy(at).setY(at.y + 0.03);
    }
    this.lowest.visible = lowest >= 0;
    this.drawTrajectory();
    this.drawBox(ticks.map((tick) => HEIGHT * scale.position(tick.value)));
  }

  /** The height of the surface between grid points. */
  private between(x: number, y: number): number | null {
    const { surface } = this.plane;
    const cell = (values: number[], at: number): [number, number] | null => {
      for (let i = 0; i + 1 < values.length; i++) {
        const t = (at - values[i]) / (values[i + 1] - values[i]);
        if (t >= 0 && t <= 1) return [i, t];
      }
      return null;
    };
    const column = cell(surface.x, x);
    const row = cell(surface.y, y);
    if (!column || !row) return null;
    const [i, s] = column;
    const [j, t] = row;
    const a = this.height(j, i) * (1 - s) + this.height(j, i + 1) * s;
    const b = this.height(j + 1, i) * (1 - s) + this.height(j + 1, i + 1) * s;
    const height = a * (1 - t) + b * t;
    return Number.isNaN(height) ? null : height;
  }

  private drawTrajectory(): void {
    for (const child of this.trajectory.children) (child as THREE.Mesh).geometry.dispose();
    this.trajectory.clear();
    const { surface } = this.plane;
    const points: THREE.Vector3[] = [];
    const { trajectory } = surface;
    if (!trajectory) return;
    const count = trajectory.x.length;
    // Between checkpoints the line follows the surface instead of cutting through it.
    for (let step = 0; step + 1 < count; step++) {
      for (let part = 0; part < 6; part++) {
        const mix = (list: (number | null)[]) =>
          (list[step] ?? NaN) + (((list[step + 1] ?? NaN) - (list[step] ?? NaN)) * part) / 6;
        const x = mix(trajectory.x);
        const y = mix(trajectory.y);
        const height = this.between(x, y);
        if (height !== null) {
          points.push(new THREE.Vector3(side(surface.x, x), height + 0.015, -side(surface.y, y)));
        }
      }
    }
    if (points.length < 2) return;
    const curve = new THREE.CatmullRomCurve3(points);
    // White with a dark rim, so that it reads on every colour.
    const tube = (radius: number, color: number, side: THREE.Side) =>
      new THREE.Mesh(
        new THREE.TubeGeometry(curve, 4 * points.length, radius, 8),
        new THREE.MeshBasicMaterial({ color, side }),
      );
    this.trajectory.add(
      tube(0.022, 0x14171b, THREE.BackSide),
      tube(0.012, 0xffffff, THREE.FrontSide),
    );
  }

  private drawBox(heights: number[]): void {
    for (const child of this.box.children) (child as THREE.LineSegments).geometry.dispose();
    this.box.clear();
    this.walls.length = 0;
    const { surface } = this.plane;
    const xs = this.xTicks.map((tick) => side(surface.x, tick.value));
    const zs = this.yTicks.map((tick) => -side(surface.y, tick.value));
    const segments = (points: number[][]) => {
      const geometry = new THREE.BufferGeometry();
      geometry.setAttribute("position", new THREE.Float32BufferAttribute(points.flat(), 3));
      const lines = new THREE.LineSegments(geometry, new THREE.LineBasicMaterial({ transparent: true, opacity: 0.5 }));
      this.box.add(lines);
      return lines;
    };
    const floor: number[][] = [];
    for (const x of [-1, ...xs, 1]) floor.push([x, 0, -1], [x, 0, 1]);
    for (const z of [-1, ...zs, 1]) floor.push([-1, 0, z], [1, 0, z]);
    segments(floor);
    for (const z of [-1, 1]) {
      const wall: number[][] = [];
      for (const x of [-1, ...xs, 1]) wall.push([x, 0, z], [x, HEIGHT, z]);
      for (const y of [...heights, HEIGHT]) wall.push([-1, y, z], [1, y, z]);
      this.walls.push({ group: segments(wall), normal: [0, z] });
    }
    for (const x of [-1, 1]) {
      const wall: number[][] = [];
      for (const z of [-1, ...zs, 1]) wall.push([x, 0, z], [x, HEIGHT, z]);
      for (const y of [...heights, HEIGHT]) wall.push([x, y, -1], [x, y, 1]);
      this.walls.push({ group: segments(wall), normal: [x, 0] });
    }
  }

  setColours(grid: string): void {
    const colour = new THREE.Color(grid);
    for (const child of this.box.children) {
      ((child as THREE.LineSegments).material as THREE.LineBasicMaterial).color.copy(colour);
    }
  }

  /** Shows the walls behind the surface only. */
  face(camera: THREE.Camera): void {
    for (const { group, normal } of this.walls) {
      group.visible = normal[0] * camera.position.x + normal[1] * camera.position.z < 0;
    }
  }

  point(row: number, column: number): void {
    const at = this.place(row, column);
    this.cursor.visible = !Number.isNaN(at.y);
    if (this.cursor.visible) this.cursor.position.copy(at);
  }

  unpoint(): void {
    this.cursor.visible = false;
  }

  /** What is written in the box. */
  labels(camera: THREE.Camera, scale: Scale): Label[] {
    const { surface } = this.plane;
    const nearX = camera.position.x >= 0 ? 1 : -1;
    const nearZ = camera.position.z >= 0 ? 1 : -1;
    // From above the surface covers the floor around it, and heights lie in one another.
    const above = camera.position.y > 3.7 * Math.hypot(camera.position.x, camera.position.z);
    const out = above ? 1.5 : 1.14;
    const names = above ? 1.72 : 1.36;
    const labels: Label[] = this.xTicks.map((tick) => ({
      text: tick.label,
      at: new THREE.Vector3(side(surface.x, tick.value), 0, nearZ * out),
      kind: "",
    }));
    for (const tick of this.yTicks) {
      const at = new THREE.Vector3(nearX * out, 0, -side(surface.y, tick.value));
      labels.push({ text: tick.label, at, kind: "" });
    }
    labels.push({ text: "x", at: new THREE.Vector3(0, 0, nearZ * names), kind: "tw-axis" });
    labels.push({ text: "y", at: new THREE.Vector3(nearX * names, 0, 0), kind: "tw-axis" });
    if (surface.attributes.directions === "checkpoints") {
      for (const [text, x, y] of [["1", 0, 0], ["2", 1, 0], ["3", 0, 1]] as const) {
        const height = this.between(x, y);
        if (height === null) continue;
        const at = new THREE.Vector3(side(surface.x, x), height + 0.04, -side(surface.y, y));
        labels.push({ text, at, kind: "tw-network" });
      }
    }
    // Heights stand at the upright edge that is outermost on the left.
    const corners = [
      [-1, -1],
      [-1, 1],
      [1, -1],
      [1, 1],
    ].map(([x, z]) => new THREE.Vector3(x, 0, z));
    const left = corners.reduce((a, b) =>
      a.clone().project(camera).x < b.clone().project(camera).x ? a : b,
    );
    for (const tick of above ? [] : scale.ticks(6)) {
      const at = left.clone().multiplyScalar(1.09).setY(HEIGHT * scale.position(tick.value));
      labels.push({ text: tick.label, at, kind: "tw-height" });
    }
    return labels;
  }
}
