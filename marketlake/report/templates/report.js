"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures-data").textContent);
  const token = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Figures name colours as var(--name), so that one figure serves light and dark.
  const resolve = (node) => {
    if (typeof node === "string") {
      return node.startsWith("var(") ? token(node.slice(4, -1)) : node;
    }
    if (Array.isArray(node)) {
      return typeof node[0] === "object" && node[0] !== null ? node.map(resolve) : node;
    }
    if (node !== null && typeof node === "object") {
      return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, resolve(value)]));
    }
    return node;
  };

  const themed = (layout) => {
    const axis = {
      gridcolor: token("--grid"),
      linecolor: token("--axis"),
      zeroline: false,
      zerolinecolor: token("--ink-2"),
      zerolinewidth: 1.5,
      automargin: true,
    };
    const out = {
      height: 320,
      margin: { l: 56, r: 12, t: 34, b: 32 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: token("--font"), size: 12, color: token("--ink-2") },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } },
      hovermode: "closest",
      hoverlabel: {
        bgcolor: token("--surface"),
        bordercolor: token("--axis"),
        font: { color: token("--ink") },
      },
      bargap: 0.2,
      ...layout,
    };
    for (const key of Object.keys(out)) {
      if (/^[xy]axis/.test(key)) {
        out[key] = { ...axis, showgrid: key[0] === "y", ...out[key] };
      }
    }
    return out;
  };

  const draw = () => {
    for (const [id, figure] of Object.entries(figures)) {
      const { data, layout } = resolve(figure);
      Plotly.react(id, data, themed(layout), {
        responsive: true,
        displayModeBar: false,
      });
    }
  };

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
