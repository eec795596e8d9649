/** Describes the cards of Home Assistant that the dashboard consists of. */

export const HALF = { columns: 6 };
export const FULL = { columns: 12 };
export const WIDE = { columns: "full", rows: 5 };

/** Where a gauge turns yellow and red, as a part of its maximum. */
const WARNING = 0.7;
const ALARM = 0.9;

const NO_NUMBER = ["unknown", "unavailable"];

export function tile(entity, more) {
  return {
    type: "tile",
    entity,
    name: { type: "entity" },
    grid_options: HALF,
    ...more,
  };
}

/** Returns a tile that is shown only while its figure is known. */
export function knownTile(entity, more) {
  return tile(entity, {
    visibility: [{ condition: "state", entity, state_not: "unknown" }],
    ...more,
  });
}

/** Returns the condition that an entity shows a number. */
export function isNumber(entity) {
  return { condition: "state", entity, state_not: NO_NUMBER };
}

/** Returns a gauge, and a tile to replace it while there is no number. */
export function gauge(entity, max, { needle = false, ...more } = {}) {
  return [
    {
      type: "gauge",
      entity,
      name: { type: "entity" },
      min: 0,
      max,
      needle,
      segments: [
        { from: 0, color: "var(--success-color)" },
        { from: WARNING * max, color: "var(--warning-color)" },
        { from: ALARM * max, color: "var(--error-color)" },
      ],
      ...more,
      visibility: [isNumber(entity)],
    },
    tile(entity, {
      ...more,
      visibility: [{ condition: "state", entity, state: NO_NUMBER }],
    }),
  ];
}

/** Returns a tile with a bar, which is full at the maximum. */
export function bar(entity, max, name = { type: "device" }) {
  return tile(entity, {
    name,
    features: max > 0 ? [{ type: "bar-gauge", max }] : [],
    features_position: "inline",
    grid_options: FULL,
  });
}

/** Returns a text without a border, which is a template; nothing while it is empty. */
export function note(content) {
  return { type: "markdown", text_only: true, show_empty: false, content };
}

/** Returns a graph of statistics of spend. */
export function graph(statistics, more) {
  return {
    type: "statistics-graph",
    entities: statistics,
    stat_types: "change",
    chart_type: "bar",
    hide_legend: statistics.length === 1,
    grid_options: WIDE,
    ...more,
  };
}

export function heading(text, more) {
  return { type: "heading", heading: text, ...more };
}

export function subheading(text) {
  return heading(text, { heading_style: "subtitle" });
}
