// SPDX-License-Identifier: MIT
// A chart of the last minute: lines over time, in the colours of the page, light or dark.

import { Chart, Legend, LinearScale, LineController, LineElement, LogarithmicScale, PointElement, Tooltip } from 'chart.js';
import { plain } from './dom.js';

Chart.register(Legend, LinearScale, LineController, LineElement, LogarithmicScale, PointElement, Tooltip);

export const SPAN_S = 60;

const dark = matchMedia('(prefers-color-scheme: dark)');
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const DASHES = [[], [6, 4], [2, 3]]; // lines differ by more than their colour

// Each line as it is drawn: dashes too.
function labelsOf(chart) {
  return Chart.defaults.plugins.legend.labels.generateLabels(chart).map((label) => ({ ...label, lineWidth: 2, lineDash: DASHES[label.datasetIndex] }));
}

// Tenfold steps only: the lines between would say nothing on a chart of this size.
function onlyPowers(axis) {
  axis.ticks = axis.ticks.filter(({ value }) => Number.isInteger(Math.log10(value)));
}

function axes(isLogarithmic) {
  const y = isLogarithmic
    ? { type: 'logarithmic', suggestedMin: 0.1, suggestedMax: 100, afterBuildTicks: onlyPowers, ticks: { callback: (v) => v.toLocaleString('en') } }
    : { type: 'linear', min: 0, suggestedMax: 5, ticks: { maxTicksLimit: 5, precision: 0 } };
  return {
    x: { type: 'linear', min: -SPAN_S, max: 0, ticks: { stepSize: 15, maxRotation: 0, callback: (v) => (v === 0 ? 'now' : `${-v} s ago`) } },
    y,
  };
}

export class LiveChart {
  #chart;
  #series;

  // series: [{label, colour: name of a custom property}]
  constructor(canvas, series, { isLogarithmic = false } = {}) {
    Object.assign(Chart.defaults.font, { family: getComputedStyle(document.body).fontFamily, size: 12 });
    this.#series = series;
    this.#chart = new Chart(canvas, {
      type: 'line',
      data: { datasets: series.map(({ label }, i) => ({ label, data: [], borderWidth: 2, borderDash: DASHES[i], pointRadius: 0, pointHitRadius: 8, tension: 0.25 })) },
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        interaction: { mode: 'nearest', axis: 'x', intersect: false },
        plugins: {
          legend: { align: 'start', labels: { generateLabels: labelsOf, usePointStyle: true, pointStyle: 'line', pointStyleWidth: 28, padding: 14 } },
          tooltip: { callbacks: { title: () => '', label: (c) => `${c.dataset.label}: ${plain(c.parsed.y)}` } },
        },
        scales: axes(isLogarithmic),
      },
    });
    this.#paint();
    dark.addEventListener('change', () => {
      this.#paint();
      this.#chart.update('none');
    });
  }

  #paint() {
    const { data, options } = this.#chart;
    const text = colour('muted'), line = colour('grid');
    options.color = text;
    for (const axis of Object.values(options.scales)) {
      axis.grid = { color: line, drawBorder: false, drawTicks: false };
      axis.ticks.color = text;
      axis.ticks.padding = 6;
    }
    data.datasets.forEach((set, i) => {
      set.borderColor = set.backgroundColor = colour(this.#series[i].colour);
    });
  }

  // points: for each series an array of {x: seconds before now as a negative number, y}
  show(points) {
    points.forEach((p, i) => { this.#chart.data.datasets[i].data = p; });
    this.#chart.update('none');
  }
}
