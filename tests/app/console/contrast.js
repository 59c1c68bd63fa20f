// Of every text that is seen: its colour on the colours beneath it, each with its opacity; told where below 4.5.
() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under, share = 1) => [0, 1, 2].map(i => top[i] * top[3] * share + under[i] * (1 - top[3] * share)).concat(1);
  const ground = node => {
    const chain = []; for (let each = node; each; each = each.parentElement) chain.unshift(each);
    let color = [255, 255, 255, 1];
    for (const each of chain) color = over(rgba(getComputedStyle(each).backgroundColor), color);
    return color;
  };
  const opacity = node => { let all = 1; for (let each = node; each; each = each.parentElement) all *= +getComputedStyle(each).opacity; return all; };
  const light = color => { const [r, g, b] = color.map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const low = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some(each => each.nodeType === 3 && each.data.trim());
    if (!own || !node.checkVisibility() || node.closest('.unseen, :disabled, svg')) continue;
    const under = ground(node);
    const text = over(rgba(getComputedStyle(node).color), under, opacity(node));
    const [a, b] = [light(text), light(under)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push(`${ratio.toFixed(2)}: ${node.textContent.slice(0, 40)}`);
  }
  return low;
}
