"""What a browser sees of a page: text that is too faint or too small, content that is cut off."""

from __future__ import annotations

from typing import Any

from tests.report import chromium

_AUDIT = r"""(() => {
  const parse = text => (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const over = (front, back, share) => [0, 1, 2].map(k => front[k] * share + back[k] * (1 - share));
  const light = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  function background(element) {
    for (let e = element; e; e = e.parentElement) {
      if (e instanceof SVGElement) continue;
      const [r, g, b, a = 1] = parse(getComputedStyle(e).backgroundColor);
      if (a > 0.99) return [r, g, b];
    }
    return [255, 255, 255];
  }
  const faint = [], small = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, text = node.textContent.trim();
    if (!text || element.closest("script,style,title,desc,option,.unseen,.skip,button:disabled")) continue;
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height || !element.checkVisibility({visibilityProperty: true})) continue;
    const style = getComputedStyle(element), inside = element instanceof SVGElement;
    const [r, g, b, a = 1] = parse(inside ? style.fill : style.color);
    let share = a;
    for (let e = element; e; e = e.parentElement) share *= Number(getComputedStyle(e).opacity);
    const back = background(element), found = contrast(over([r, g, b], back, share), back);
    const drawn = inside && element.ownerSVGElement.viewBox.baseVal;
    const scale = drawn && drawn.width ? element.ownerSVGElement.getBoundingClientRect().width / drawn.width : 1;
    const size = parseFloat(style.fontSize) * scale;
    const where = `${element.tagName}.${element.className.baseVal ?? element.className} ${text.slice(0, 30)}`;
    if (found < 4.5) faint.push(`${found.toFixed(2)} ${where}`);
    if (size < LEAST) small.push(`${size.toFixed(1)}px ${where}`);
  }
  const wide = [...document.querySelectorAll("body *")].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && box.right > innerWidth + 1 && !e.closest(".scroll, .view, pre, nav, .unseen, .skip");
  }).map(e => `${e.tagName}.${e.className.baseVal ?? e.className}`);
  const cut = [...document.querySelectorAll("svg.plot text, svg.lineage text, svg.drawing text")].filter(e => {
    const box = e.getBoundingClientRect(), room = e.ownerSVGElement.getBoundingClientRect();
    const out = box.left < room.left - 2 || box.right > room.right + 2 || box.top < room.top - 2;
    return box.width > 0 && out;
  }).map(e => e.textContent);
  const some = list => [...new Set(list)].slice(0, 9);
  return {faint: some(faint), small: some(small), wide: some(wide), cut: some(cut)};
})()"""


def audit(page: chromium.Page, least: float = 9.0) -> dict[str, Any]:
    """Return lists of what is wrong with the page that is open, empty where nothing is.

    Keys: `faint`, text with a contrast below 4.5 (WCAG 2.2, 1.4.3); `small`, text below `least` pixels as shown;
    `wide`, what the window cuts off; `cut`, labels that leave their drawing.
    """
    found: dict[str, Any] = page.run(_AUDIT.replace("LEAST", str(least)))
    return found
