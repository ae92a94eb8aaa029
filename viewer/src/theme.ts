// Light and dark: the system's choice, until the reader makes one.

export function currentColour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Adds the button, and calls back whenever colours change. */
export function themeButton(place: Element | null, changed: () => void): void {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  system.addEventListener("change", changed);
  if (!place) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tw-theme";
  const label = () => {
    button.textContent = dark() ? "Light" : "Dark";
  };
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    label();
    changed();
  });
  system.addEventListener("change", label);
  label();
  place.append(button);
}
