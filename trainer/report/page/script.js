// Draws the report from the data in the page. Runs in the browser, beside the chart library.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const { levels, pairs, advice, metrics, path } = data;
  const dense = levels.at(-1);
  // Of the lines of each kind of pair, drawn and left out in turns, in pixels.
  const DASHES = [[], [7, 4], [2, 2], [8, 3, 2, 3]];
  const byId = (id) => document.getElementById(id);
  const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
  const short = (value) => String(Number(value.toPrecision(4)));

  byId('subtitle').textContent =
    `${data.task}, ${levels.length} levels, ${pairs.length} pairs; made ${data.createdAt.slice(0, 16).replace('T', ' ')} UTC`;

  table(
    'advice',
    ['at most', 'level', 'FLOPs', 'params', 'loss', 'at worst', 'faster'],
    advice.map((a) => [
      percent(a.tolerance),
      a.level,
      percent(a.relativeFlops, 0),
      percent(a.relativeParams, 0),
      percent(a.loss, 2),
      percent(a.worstLoss, 2),
      a.speedup === undefined ? '-' : `${a.speedup.toFixed(1)}x`,
    ]),
  );
  const one = advice.find(({ tolerance }) => tolerance === 0.01);
  if (one)
    byId('advice-note').textContent =
      `${one.text[0].toUpperCase()}${one.text.slice(1)}. ${data.lossMeans} At worst is the unfavourable end of the level's 95 % interval. Times are of the machine that built the path.`;
  for (const note of path?.notes ?? []) {
    const item = element('li', '');
    item.append(...withFlags(note));
    byId('notes').append(item);
  }

  const batches = [...new Set(levels.flatMap(({ latency }) => latency.map(({ batch }) => batch)))];
  table(
    'levels',
    [
      'level',
      'FLOPs',
      'params',
      'MiB',
      ...metrics.flatMap((metric) => [metric, '95 %']),
      ...batches.map((b) => `p50 ms, batch ${b}`),
    ],
    levels.map((level) => [
      level.level,
      percent(level.relativeFlops),
      percent(level.relativeParams),
      (level.bytes / 2 ** 20).toFixed(2),
      ...metrics.flatMap((metric) => {
        const { value, low, high } = qualityOf(level, metric);
        return [value.toFixed(4), `${low.toFixed(4)} to ${high.toFixed(4)}`];
      }),
      ...batches.map((batch) => {
        const profile = level.latency.find((each) => each.batch === batch);
        return profile === undefined ? '-' : profile.p50Ms.toFixed(2);
      }),
    ]),
  );

  widthsTable();
  kindsLegend();
  baselinesTable();
  table(
    'run',
    ['setting', 'value'],
    Object.entries(data.run).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(' to ') : String(value),
    ]),
  );
  if (path) {
    const total = (field) => path.cost.reduce((sum, part) => sum + part[field], 0);
    table(
      'cost',
      ['stage', 'seconds', 'epochs'],
      [
        ...path.cost.map(({ stage, seconds, epochs }) => [stage, seconds.toFixed(1), epochs.toFixed(2)]),
        ['all', total('seconds').toFixed(1), total('epochs').toFixed(2)],
      ],
    );
  }

  if (path?.baselines.length > 0)
    byId('baselines-note').textContent =
      '; other ways of pruning are dashed, and take as long as levels of the path with as many FLOPs';
  for (const metric of metrics) byId('metric').append(element('option', metric));
  for (const batch of batches) byId('batch').append(element('option', batch));
  byId('batch').value = String(batches[0]);
  // What other ways of pruning were measured by can be compared, and is shown first.
  byId('metric').value = metrics.find((metric) => waysBy(metric).length > 0) ?? metrics[0];
  const SYMBOLS = [
    ['circle', '\u25CF'],
    ['rect', '\u25A0'],
    ['triangle', '\u25B2'],
    ['diamond', '\u25C6'],
  ];
  const charts = ['by-flops', 'by-params', 'by-latency', 'path'].map((id) => [
    id,
    window.echarts.init(byId(id), null, { renderer: 'svg' }),
  ]);
  const draw = () => {
    for (const [id, chart] of charts) chart.setOption(optionsOf(id), true);
    nameWays();
  };
  byId('metric').addEventListener('change', draw);
  byId('batch').addEventListener('change', draw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  new ResizeObserver(() => {
    for (const [, chart] of charts) chart.resize();
  }).observe(document.body);
  draw();

  function optionsOf(id) {
    if (id === 'path') return pathOptions();
    // Each with where a level lies, and where a baseline's point does.
    const axes = {
      'by-flops': ['FLOPs, % of dense', (level) => 100 * level.relativeFlops],
      'by-params': ['parameters, % of dense', (level) => 100 * level.relativeParams],
      'by-latency': [`p50 ms at batch ${byId('batch').value}`, timeOf, timeLike],
    };
    const [name, at, atPoint = at] = axes[id];
    return qualityOptions(name, at, atPoint);
  }

  /** At the batch size that is shown. */
  function timeOf({ latency }) {
    return latency.find(({ batch }) => String(batch) === byId('batch').value)?.p50Ms;
  }

  /** What a model of so many FLOPs takes, between the path's levels; none where the path has no such level. */
  function timeLike({ relativeFlops }) {
    const known = levels.filter((level) => timeOf(level) !== undefined);
    const above = known.findIndex((level) => level.relativeFlops >= relativeFlops - 1e-9);
    if (above < 0 || (above === 0 && known[0].relativeFlops > relativeFlops + 1e-9)) return undefined;
    const [a, b] = [known[Math.max(0, above - 1)], known[above]];
    const [from, to] = [timeOf(a), timeOf(b)];
    const width = b.relativeFlops - a.relativeFlops;
    return width > 0 ? from + ((to - from) * (relativeFlops - a.relativeFlops)) / width : to;
  }

  function qualityOptions(xName, at, atPoint) {
    const metric = byId('metric').value;
    const baselines = waysBy(metric)
      .map(({ name, points }) => ({
        name,
        ...wayOf(path.baselines.findIndex((each) => each.name === name)),
        points: points.filter((point) => Number.isFinite(atPoint(point))),
      }))
      .filter(({ points }) => points.length > 0);
    const quality = (level) => qualityOf(level, metric);
    const points = levels.filter((level) => at(level) !== undefined).toSorted((a, b) => at(a) - at(b));
    const line = (pick) => points.map((level) => [at(level), pick(quality(level))]);
    const c = colours();
    const band = {
      type: 'line',
      stack: 'band',
      stackStrategy: 'all',
      symbol: 'none',
      silent: true,
      lineStyle: { opacity: 0 },
    };
    return {
      ...base(c),
      tooltip: {
        ...tooltip(c),
        trigger: 'item',
        formatter: ({ seriesName, dataIndex, value }) => {
          if (seriesName !== 'path') {
            const point = baselines.find(({ name }) => name === seriesName)?.points[dataIndex];
            const interval = point?.low === undefined ? '' : ` (${short(point.low)} to ${short(point.high)})`;
            return `${seriesName}<br>${short(value[1])}${interval} at ${short(value[0])}`;
          }
          const level = points[dataIndex];
          const { value: mean, low, high } = quality(level);
          return `level ${level.level}: ${percent(level.relativeFlops)} of the FLOPs<br>${short(mean)} (${short(low)} to ${short(high)})`;
        },
      },
      xAxis: {
        ...axis(c),
        type: 'value',
        name: xName,
        nameLocation: 'middle',
        nameGap: 26,
        // At the origin a time would run into the label of the other axis.
        ...(atPoint === timeLike
          ? { scale: true, axisLabel: { ...axis(c).axisLabel, showMinLabel: false } }
          : { min: 0, max: 100 }),
      },
      yAxis: {
        ...axis(c),
        type: 'value',
        ...data.ranges[metric],
        name: dense.quality.details?.[metric]?.better === 'lower' ? `${metric}, lower is better` : metric,
        nameTextStyle: { align: 'left', color: c.quiet },
      },
      series: [
        { ...band, data: line(({ low }) => low) },
        { ...band, data: line(({ low, high }) => high - low), areaStyle: { color: c.accent, opacity: 0.18 } },
        {
          name: 'path',
          type: 'line',
          symbolSize: 7,
          color: c.accent,
          lineStyle: { width: 2.5 },
          data: line(({ value }) => value),
        },
        ...baselines.map(({ name, colour, symbol, points: own }) => ({
          name,
          type: 'line',
          symbol,
          symbolSize: 5,
          color: colour,
          lineStyle: { width: 1.2, type: 'dashed' },
          data: own.map((point) => [atPoint(point), point.value]),
        })),
      ],
    };
  }

  function pathOptions() {
    const c = colours();
    const kinds = [...new Set(pairs.map(({ kind }) => kind))];
    const series = (path?.entries ?? []).map((entries, p) => {
      const { name, kind, units } = pairs[p];
      const same = pairs.filter((pair) => pair.kind === kind);
      const depth = same.indexOf(pairs[p]) / Math.max(1, same.length - 1);
      const entered = entries.filter((time) => time !== null);
      return {
        name,
        type: 'line',
        step: 'end',
        symbol: 'none',
        color: c[kind],
        lineStyle: { width: 1.6, opacity: 1 - 0.65 * depth, type: dashOf(kinds.indexOf(kind)) },
        emphasis: { lineStyle: { width: 3.5, opacity: 1 } },
        data: [
          [0, 0],
          ...entered.map((time, i) => [time, (100 * (i + 1)) / units]),
          [path.steps, (100 * entered.length) / units],
        ],
      };
    });
    return {
      ...base(c),
      grid: { left: 52, right: 20, top: 36, bottom: 48 },
      tooltip: {
        ...tooltip(c),
        trigger: 'item',
        formatter: ({ seriesName, value }) =>
          `${seriesName}<br>${short(value[1])} % at step ${short(value[0])}`,
      },
      xAxis: {
        ...axis(c),
        type: 'value',
        name: 'step',
        nameLocation: 'middle',
        nameGap: 26,
        min: 0,
        max: path?.steps ?? 1,
      },
      yAxis: {
        ...axis(c),
        type: 'value',
        name: '% of units',
        min: 0,
        max: 100,
        nameTextStyle: { align: 'left', color: c.quiet },
      },
      series: series.map((each) => ({ ...each, triggerLineEvent: true })),
    };
  }

  /** Of the main metric or of one of the details. */
  function qualityOf(level, metric) {
    return metric === dense.quality.metric ? level.quality : level.quality.details[metric];
  }

  /** Other ways of pruning that were measured by a metric. */
  function waysBy(metric) {
    return (path?.baselines ?? []).filter((each) => (each.metric ?? dense.quality.metric) === metric);
  }

  /** How a baseline is drawn: names are told apart without colour, too. */
  function wayOf(place) {
    const [symbol, mark] = SYMBOLS[place % SYMBOLS.length];
    return { symbol, mark, colour: colours().baselines[place % colours().baselines.length] };
  }

  /** A coloured mark and a name that is as dark as any text. */
  function named(mark, name, colour) {
    const [entry, sign] = [element('span', ''), element('span', mark)];
    sign.style.color = colour;
    sign.className = 'mark';
    sign.setAttribute('aria-hidden', 'true');
    entry.append(sign, name);
    return entry;
  }

  /** One legend for the three charts of quality. */
  function nameWays() {
    const ways = waysBy(byId('metric').value);
    const entries = ways.map((way) => {
      const { mark, colour } = wayOf(path.baselines.indexOf(way));
      return named(mark, way.name, colour);
    });
    byId('ways').replaceChildren(
      ...(ways.length > 0 ? [named('\u25CB', 'this path', colours().accent), ...entries] : []),
    );
  }

  /** What is drawn of other ways of pruning, for those who do not see charts. */
  function baselinesTable() {
    const ways = path?.baselines ?? [];
    byId('baselines-details').hidden = ways.length === 0;
    table(
      'baselines',
      ['way', 'metric', 'FLOPs', 'quality', '95 %'],
      ways.flatMap(({ name, metric = dense.quality.metric, points }) =>
        points.map(({ relativeFlops, value, low, high }) => [
          name,
          metric,
          percent(relativeFlops),
          short(value),
          low === undefined ? '-' : `${short(low)} to ${short(high)}`,
        ]),
      ),
    );
  }

  function kindsLegend() {
    const kinds = [...new Set(pairs.map((pair) => pair.kind))];
    byId('kinds').append(
      ...kinds.map((kind, place) => {
        const entry = named('', kind, '');
        entry.firstChild.className = 'mark stroke';
        entry.firstChild.style.background = strokeOf(place, `var(--${kind})`);
        return entry;
      }),
      element('span', 'first layers strong, last layers faint'),
    );
  }

  function dashOf(place) {
    const dashes = DASHES[place % DASHES.length];
    return dashes.length === 0 ? 'solid' : dashes;
  }

  /** The legend's piece of such a line, as a background. */
  function strokeOf(place, colour) {
    const dashes = DASHES[place % DASHES.length];
    let end = 0;
    const stops = dashes.map((length, i) => {
      const from = end;
      end += length;
      return `${i % 2 === 0 ? colour : 'transparent'} ${from}px ${end}px`;
    });
    return dashes.length === 0 ? colour : `repeating-linear-gradient(90deg, ${stops.join(', ')})`;
  }

  function widthsTable() {
    const heat = byId('widths');
    heat.append(row('th', ['pair', 'of', ...levels.map(({ level }) => level)]));
    pairs.forEach(({ name, units }, p) => {
      const tr = row('td', [name, units, ...levels.map(({ widths }) => widths[p])]);
      tr.firstChild.title = name;
      levels.forEach(({ widths }, i) => {
        const share = widths[p] / units;
        tr.children[i + 2].style.background =
          `rgba(var(--accent-rgb), calc(0.04 + var(--heat) * ${share.toFixed(3)}))`;
      });
      heat.append(tr);
    });
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const names = [
      'ground',
      'raised',
      'ink',
      'quiet',
      'line',
      'accent',
      'query-key',
      'value-projection',
      'sequential',
      'gated',
    ];
    return {
      ...Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])),
      // Read on either ground.
      baselines: [
        '#8a94a0',
        '#d98c00',
        '#a07cc5',
        '#2a9d8f',
        '#5b8def',
        '#b08450',
        '#e08fb0',
        '#ef7d57',
        '#c1485a',
      ],
    };
  }
  function base(c) {
    return {
      animation: false,
      backgroundColor: 'transparent',
      textStyle: { color: c.ink, fontFamily: 'inherit' },
      grid: { left: 56, right: 20, top: 36, bottom: 46 },
    };
  }
  function axis(c) {
    return {
      nameTextStyle: { color: c.quiet },
      axisLabel: { color: c.quiet, hideOverlap: true },
      axisLine: { lineStyle: { color: c.line } },
      splitLine: { lineStyle: { color: c.line, opacity: 0.6 } },
    };
  }
  function tooltip(c) {
    return { backgroundColor: c.raised, borderColor: c.line, textStyle: { color: c.ink }, confine: true };
  }

  function table(id, header, rows) {
    byId(id).append(row('th', header), ...rows.map((cells) => row('td', cells)));
  }
  function row(tag, cells) {
    const tr = document.createElement('tr');
    tr.append(...cells.map((cell) => element(tag, String(cell))));
    if (tag === 'th') for (const cell of tr.children) cell.scope = 'col';
    return tr;
  }
  /** The text in parts, its flags in elements of their own: a line would break behind their hyphens. */
  function withFlags(text) {
    return text.split(/(--[a-z][a-z-]*)/).map((part, i) => (i % 2 === 1 ? element('code', part) : part));
  }

  function element(tag, text) {
    const made = document.createElement(tag);
    made.textContent = text;
    return made;
  }
})();
