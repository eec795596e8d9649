/**
 * A dashboard of the accounts that are set up, drawn with Home Assistant's own cards.
 *
 *   strategy:
 *     type: custom:alibaba-cloud
 *     accounts: [ENTRY_ID]   # optional: IDs of the config entries to show, in order
 *     models: [NAME]         # optional: names of the models to show
 *
 * The strategy works for a dashboard and for a single view. All its texts are in the
 * translations of the integration.
 */

const DOMAIN = "alibaba_cloud";
const TYPE = "alibaba-cloud";
const ICON = "mdi:cloud-outline";
const INTEGRATION = `/config/integrations/integration/${DOMAIN}`;

const COLUMNS = 4;
const HALF = { columns: 6 };
const FULL = { columns: 12 };
const WIDE = { columns: "full", rows: 5 };

/** Number of models that have a gauge, and whose costs fit into one column. */
const FEW = 6;
/** Number of models in a graph; the colors of more can't be told apart. */
const COLORS = 8;
/** Where a gauge turns yellow and red, as a part of its maximum. */
const WARNING = 0.7;
const ALARM = 0.9;

const BY_DAY = { period: "day", days_to_show: 30 };
const BY_MONTH = { period: "month", days_to_show: 365 };

const NO_NUMBER = ["unknown", "unavailable"];

/**
 * Returns the accounts with their models, workspaces and API keys, each with its entity
 * IDs by key.
 *
 * Only entities that can be shown are among them: `hass.entities` has those that are
 * enabled, of which some are hidden or have no state.
 */
function findAccounts(hass, options) {
  const byDevice = {};
  for (const entity of Object.values(hass.entities)) {
    const { platform, hidden, entity_id: id } = entity;
    if (platform === DOMAIN && !hidden && id in hass.states) {
      byDevice[entity.device_id] ??= {};
      byDevice[entity.device_id][entity.translation_key] = id;
    }
  }

  const devices = Object.values(hass.devices)
    .map((device) => ({
      deviceId: device.id,
      parentId: device.parent_device_id,
      id: device.identifiers.find(([domain]) => domain === DOMAIN)?.[1],
      name: device.name_by_user || device.name,
      entities: byDevice[device.id] ?? {},
    }))
    .filter(({ id }) => id)
    .sort((one, other) => one.name.localeCompare(other.name, hass.language));

  const accounts = devices.filter(
    ({ deviceId, parentId }) => !parentId && deviceId in byDevice,
  );
  for (const account of accounts) {
    const children = (kind) => {
      const prefix = `${account.id}_${kind}_`;
      return devices
        .filter(({ id, parentId }) => parentId && id.startsWith(prefix))
        .map((device) => ({ ...device, key: device.id.slice(prefix.length) }));
    };
    account.models = children("model").filter(
      ({ key }) => options.models?.includes(key) ?? true,
    );
    account.workspaces = children("workspace");
    account.apiKeys = children("api_key");
  }

  return options.accounts
    ? options.accounts.flatMap((wanted) => accounts.filter(({ id }) => id === wanted))
    : accounts;
}

/**
 * Adds to accounts the statistics of what they spent, and of what their models spent.
 *
 * Where a bill is read, its days are imported under IDs of their own. Otherwise there
 * is what Home Assistant recorded of the sensor.
 */
async function addSpend(hass, accounts) {
  // There are no statistics without the recorder.
  const listed = await hass
    .callWS({ type: "recorder/list_statistic_ids", statistic_type: "sum" })
    .catch(() => []);

  for (const account of accounts) {
    const prefix = `${DOMAIN}:${account.id.toLowerCase()}_`;
    const imported = listed
      .filter(({ statistic_id: id }) => id.startsWith(prefix))
      .map(({ statistic_id: entity, name }) => ({ entity, name }));
    // After the prefix there is the currency: "cny_spend", or "cny_spend_qwen_max".
    const totals = imported.filter(({ entity }) =>
      /^[a-z]+_spend$/.test(entity.slice(prefix.length)),
    );
    const recorded = listed
      .filter(({ statistic_id: id }) => id === account.entities.monthly_spend)
      .map(({ statistic_id: entity }) => ({ entity, name: { type: "entity" } }));
    account.spend = await addMonths(hass, totals.length ? totals : recorded);
    for (const model of account.models) {
      const ofModel = modelStatistics(model.key);
      model.spend = imported
        .filter(({ entity }) => ofModel.test(entity.slice(prefix.length)))
        .map(({ entity }) => ({ entity, name: model.name }));
    }
  }
}

/**
 * Returns what the IDs of a model's statistics match after the account's prefix.
 *
 * owners.py adds a checksum to names that other names could be confused with.
 */
function modelStatistics(model) {
  const words = model.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(model)) {
    words.push(checksum(model));
  }
  return new RegExp(`^[a-z]+_spend_${words.join("_")}$`);
}

/** Returns the CRC-32 of a text in UTF-8, in hexadecimal. */
function checksum(text) {
  let crc = 0xffffffff;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) {
      crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
  }
  return (~crc >>> 0).toString(16).padStart(8, "0");
}

/** Adds to statistics the number of months they have; a new sensor's have none yet. */
async function addMonths(hass, statistics) {
  if (!statistics.length) {
    return [];
  }
  const start = Date.now() - BY_MONTH.days_to_show * 24 * 3600 * 1000;
  const months = await hass
    .callWS({
      type: "recorder/statistics_during_period",
      start_time: new Date(start).toISOString(),
      statistic_ids: statistics.map(({ entity }) => entity),
      period: "month",
      types: ["change"],
    })
    .catch(() => ({}));
  return statistics.map((it) => ({ ...it, months: months[it.entity]?.length ?? 0 }));
}

/** Returns the number that an entity shows, null if it shows none. */
function numberOf(hass, entity) {
  const number = parseFloat(hass.states[entity]?.state);
  return Number.isNaN(number) ? null : number;
}

/**
 * Returns the scale of the bars of costs, as a power of two; null if nothing is spent.
 *
 * The device of a model, a workspace or an API key has a parent.
 */
function scaleOfCosts(hass) {
  const costs = Object.values(hass.entities)
    .filter(
      ({ platform, translation_key: key, device_id: device }) =>
        platform === DOMAIN &&
        (key === "monthly_spend"
          ? hass.devices[device]?.parent_device_id
          : /^other_\w+_monthly_spend$/.test(key)),
    )
    .map(({ entity_id: id }) => numberOf(hass, id) ?? 0);
  const highest = Math.max(0, ...costs);
  return highest > 0 ? Math.floor(Math.log2(highest)) : null;
}

/** Returns the models that have a figure, those with the highest first. */
function ranked(hass, models, key) {
  return models
    .filter(({ entities }) => entities[key])
    .map((model) => [numberOf(hass, model.entities[key]) ?? -1, model])
    .sort(([one], [other]) => other - one)
    .map(([, model]) => model);
}

function tile(entity, more) {
  return {
    type: "tile",
    entity,
    name: { type: "entity" },
    grid_options: HALF,
    ...more,
  };
}

/** Returns a tile that is shown only while its date is known. */
function dateTile(entity) {
  return tile(entity, {
    visibility: [{ condition: "state", entity, state_not: "unknown" }],
  });
}

/** Returns a gauge, and a tile to replace it while there is no number. */
function gauge(entity, max, { needle = false, ...more } = {}) {
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
      visibility: [{ condition: "state", entity, state_not: NO_NUMBER }],
    },
    tile(entity, {
      ...more,
      visibility: [{ condition: "state", entity, state: NO_NUMBER }],
    }),
  ];
}

/** Returns a tile with a bar, which is full at the maximum. */
function bar(entity, max, name = { type: "device" }) {
  return tile(entity, {
    name,
    features: max > 0 ? [{ type: "bar-gauge", max }] : [],
    features_position: "inline",
    grid_options: FULL,
  });
}

/** Returns a graph of statistics of spend. */
function graph(statistics, more) {
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

function heading(text, more) {
  return { type: "heading", heading: text, ...more };
}

function subheading(text) {
  return heading(text, { heading_style: "subtitle" });
}

/** Returns the heading of an account, with badges for its status and its problems. */
function accountHeading({ name, deviceId, entities }) {
  const problems = ["access_key_problem", "over_spend_limit"]
    .flatMap((key) => entities[key] ?? [])
    .map((entity) => ({
      type: "entity",
      entity,
      name: { type: "entity" },
      state_content: "name",
      color: "red",
      visibility: [{ condition: "state", entity, state: "on" }],
    }));
  const status = entities.status ? [{ type: "entity", entity: entities.status }] : [];
  return heading(name, {
    icon: ICON,
    badges: [...problems, ...status],
    tap_action: {
      action: "navigate",
      navigation_path: `/config/devices/device/${deviceId}`,
    },
  });
}

/** Returns the sections of an account, without those that would be empty. */
function accountSections(hass, account, text) {
  const { entities, models, workspaces, apiKeys, spend } = account;
  const present = (...keys) => keys.flatMap((key) => entities[key] ?? []);
  const tiles = (...keys) => present(...keys).map((entity) => tile(entity));
  const wideIf = (many) => (many ? { column_span: COLUMNS } : {});

  const budget = numberOf(hass, entities.budget);
  const used = ["usage_pct", "load_pct"].map((key) => ({
    key,
    figures: ranked(hass, models, key).map(({ entities: of }) => of[key]),
  }));
  const paid = ranked(hass, models, "monthly_spend");
  const spendByModel = paid.flatMap((model) => model.spend).slice(0, COLORS);

  /** Returns a bar for each part of the spend, and one for all others together. */
  const costs = (parts, others, othersText) => {
    const known = ranked(hass, parts, "monthly_spend");
    const bars = [
      ...known.map(({ entities: of }) => [of.monthly_spend]),
      ...others.map((id) => [id, othersText]),
    ];
    const highest = Math.max(...bars.map(([entity]) => numberOf(hass, entity) ?? 0));
    return {
      ...wideIf(known.length > FEW),
      cards: known.length ? bars.map(([id, name]) => bar(id, highest, name)) : [],
    };
  };

  const logged = hass.config.components.includes("logbook") ? present("alerts") : [];

  const sections = [
    {
      title: "spend",
      icon: "mdi:cash-multiple",
      cards: [
        ...present("monthly_spend").flatMap((entity) =>
          budget > 0 ? gauge(entity, budget, { needle: true }) : tile(entity),
        ),
        ...tiles("daily_spend", "estimated_daily_spend", "projected_monthly_spend"),
        ...tiles("budget", "remaining_budget"),
        ...present("budget_exhausted_on").map(dateTile),
        ...tiles("available_balance", "credit_balance"),
        ...present("balance_lasts_until").map(dateTile),
      ],
    },
    {
      title: "prepaid",
      icon: "mdi:ticket-percent-outline",
      cards: [
        ...present("plan_credits_used_pct").flatMap((entity) => gauge(entity, 100)),
        ...tiles("plan_credits_left", "plan_credits_refresh", "plan_ends"),
        ...tiles("coupons_balance", "prepaid_cards_balance", "savings_plans_balance"),
        ...tiles("resource_packages_left"),
        ...present("next_expiry").map(dateTile),
      ],
    },
    ...used.map(({ key, figures }) => ({
      title: key,
      icon: "mdi:gauge",
      cards: figures
        .slice(0, FEW)
        .flatMap((entity) =>
          gauge(entity, 100, { name: { type: "device" }, grid_options: HALF }),
        ),
    })),
    {
      title: "spend_per_day",
      icon: "mdi:chart-bar",
      cards: spend
        .filter(({ months }) => months > 0)
        .map((statistic) => graph([statistic], BY_DAY)),
    },
    {
      title: "spend_per_month",
      icon: "mdi:chart-bar",
      cards: spend
        .filter(({ months }) => months > 1)
        .map((statistic) => graph([statistic], BY_MONTH)),
    },
    {
      title: "models_this_month",
      icon: "mdi:cash-clock",
      ...costs(models, present("other_models_monthly_spend"), text("other_models")),
    },
    {
      title: "workspaces_this_month",
      icon: "mdi:briefcase-outline",
      ...costs(
        workspaces,
        present("other_workspaces_monthly_spend"),
        text("other_workspaces"),
      ),
    },
    {
      title: "api_keys_this_month",
      icon: "mdi:key-outline",
      ...costs(
        apiKeys,
        present("other_api_keys_monthly_spend"),
        text("other_api_keys"),
      ),
    },
    {
      title: "models_per_day",
      icon: "mdi:chart-bar-stacked",
      cards:
        spendByModel.length > 1
          ? [graph(spendByModel, { chart_type: "bar-stack", ...BY_DAY })]
          : [],
    },
    ...used.map(({ figures }) => ({
      title: "less_used",
      icon: "mdi:gauge-low",
      ...wideIf(true),
      cards: figures.slice(FEW).map((entity) => bar(entity, 100)),
    })),
    {
      title: "limits",
      icon: "mdi:speedometer",
      ...wideIf(models.length > FEW),
      cards: models
        .filter(({ entities: of }) => !of.usage_pct && !of.load_pct)
        .flatMap(({ name, entities: of }) => {
          const limits = ["limit", "rpm", "tpm"].flatMap((key) => of[key] ?? []);
          return limits.length
            ? [subheading(name), ...limits.map((entity) => tile(entity))]
            : [];
        }),
    },
    ...present("available_data").map((entity) => ({
      title: "more",
      icon: "mdi:key-plus",
      visibility: [{ condition: "state", entity, state: "limits" }],
      cards: [
        { type: "markdown", content: text("add_access_key", { url: INTEGRATION }) },
      ],
    })),
    ...logged.map((entity) => ({
      title: "alerts",
      icon: "mdi:bell-outline",
      visibility: [{ condition: "state", entity, state_not: "unknown" }],
      cards: [
        {
          type: "logbook",
          target: { entity_id: [entity] },
          hours_to_show: 24 * BY_DAY.days_to_show,
          grid_options: WIDE,
        },
      ],
    })),
  ];

  return [
    { type: "grid", column_span: COLUMNS, cards: [accountHeading(account)] },
    ...sections
      .filter(({ cards }) => cards.length)
      // The wide ones last, so that the others stand side by side.
      .sort((one, other) => (one.column_span ?? 1) - (other.column_span ?? 1))
      .map(({ title, icon, cards, ...section }) => ({
        type: "grid",
        ...section,
        cards: [heading(text(title), { icon, heading_style: "subtitle" }), ...cards],
      })),
  ];
}

class ViewStrategy extends HTMLElement {
  static async generate(config, hass) {
    const accounts = findAccounts(hass, config);
    const [localize] = await Promise.all([
      hass.loadBackendTranslation("common", DOMAIN),
      addSpend(hass, accounts),
    ]);
    const text = (key, values) =>
      localize(`component.${DOMAIN}.common.dashboard_${key}`, values);

    const sections = accounts.flatMap((account) =>
      accountSections(hass, account, text),
    );
    if (!sections.length) {
      const content = text("no_account", { url: INTEGRATION });
      sections.push({ type: "grid", cards: [{ type: "markdown", content }] });
    }
    return { type: "sections", max_columns: COLUMNS, sections };
  }

  /**
   * Returns whether there are other entities or devices, or another budget, or the costs
   * no longer fit their bars.
   */
  static shouldRegenerate(config, before, now) {
    return (
      before.entities !== now.entities ||
      before.devices !== now.devices ||
      scaleOfCosts(before) !== scaleOfCosts(now) ||
      Object.values(now.entities).some(
        ({ platform, translation_key: key, entity_id: id }) =>
          platform === DOMAIN &&
          key === "budget" &&
          before.states[id]?.state !== now.states[id]?.state,
      )
    );
  }
}

class DashboardStrategy extends HTMLElement {
  static async generate(config) {
    return {
      views: [{ title: "Model Studio", path: "model-studio", strategy: config }],
    };
  }

  static getCreateSuggestions() {
    return { title: "Model Studio", icon: ICON };
  }
}

// The module may be loaded twice: from its URL of an earlier version, too.
const STRATEGIES = { dashboard: DashboardStrategy, view: ViewStrategy };
for (const [strategyType, strategy] of Object.entries(STRATEGIES)) {
  const tag = `ll-strategy-${strategyType}-${TYPE}`;
  if (!customElements.get(tag)) {
    customElements.define(tag, strategy);
  }
}

window.customStrategies ??= [];
if (!window.customStrategies.some(({ type }) => type === TYPE)) {
  window.customStrategies.push({
    type: TYPE,
    strategyType: "dashboard",
    name: "Alibaba Cloud Model Studio",
  });
}
