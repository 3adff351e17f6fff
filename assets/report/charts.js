// Draws the charts of a report (src/report/chart.ts) with uPlot, which is inlined before this. Runs in the reader's browser.
(() => {
  const HEIGHT = 220;
  const PAPER_WIDTH = 640;
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const COLORS = ['--first', '--second'];
  const charts = [];

  /** The times in which sessions were held, behind the lines; wide enough to be seen. */
  const holds = (windows) => (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = color('--held');
    for (const { from, to } of windows) {
      const left = plot.valToPos(from, 'x', true);
      const width = Math.max(plot.valToPos(to, 'x', true) - left, 2 * devicePixelRatio);
      ctx.fillRect(left, bbox.top, width, bbox.height);
    }
    ctx.restore();
  };

  const axis = (unit) => ({
    stroke: () => color('--faint'),
    grid: { stroke: () => color('--line'), width: 1 },
    ticks: { stroke: () => color('--line'), width: 1 },
    size: unit === undefined ? 40 : 64,
    values: (_plot, values) => values.map((value) => (unit ? `${value}${unit}` : `${value} s`)),
  });

  function draw(place) {
    const { unit, x, series, windows } = JSON.parse(place.querySelector('script').textContent);
    const suffix = unit === 'ms' ? ' ms' : '/s';
    const options = {
      width: place.clientWidth,
      height: HEIGHT,
      scales: { x: { time: false }, y: { range: (_plot, _low, high) => [0, Math.max(high * 1.05, 1)] } },
      cursor: { y: false },
      legend: { live: true },
      axes: [axis(), axis(suffix)],
      series: [
        { label: 'time', value: (_plot, value) => (value === null ? '–' : `${value.toFixed(1)} s`) },
        ...series.map(({ name }, i) => ({
          label: name,
          stroke: () => color(COLORS[i]),
          width: 1.5,
          points: { show: false },
          spanGaps: false,
          value: (_plot, value) => (value === null ? '–' : `${Math.round(value * 10) / 10}${suffix}`),
        })),
      ],
      hooks: { drawClear: [holds(windows)] },
    };
    charts.push({ place, plot: new uPlot(options, [x, ...series.map(({ values }) => values)], place) });
  }

  document.querySelectorAll('.chart .canvas').forEach(draw);
  const fit = (width) =>
    charts.forEach(({ place, plot }) => plot.setSize({ width: width ?? place.clientWidth, height: HEIGHT }));
  const recolor = () => charts.forEach(({ plot }) => plot.redraw(false, true));
  new ResizeObserver(() => fit()).observe(document.querySelector('main'));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', recolor);
  // Paper is white, and as wide as it is.
  matchMedia('print').addEventListener('change', ({ matches }) => {
    fit(matches ? PAPER_WIDTH : undefined);
    recolor();
  });
})();
