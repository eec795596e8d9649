/** Arranges the figures of an account in sections. */

// See dashboard.js for the query.
const { search } = new URL(import.meta.url);
const [
  { BY_DAY, BY_MONTH, DOMAIN, numberOf, ranked },
  {
    FULL,
    HALF,
    WIDE,
    bar,
    gauge,
    graph,
    heading,
    isNumber,
    knownTile,
    note,
    subheading,
    tile,
  },
] = await Promise.all([
  import(`./accounts.js${search}`),
  import(`./cards.js${search}`),
]);

export const ICON = "mdi:cloud-outline";
export const INTEGRATION = `/config/integrations/integration/${DOMAIN}`;
export const COLUMNS = 4;

/** Number of models that have a gauge or a rank, and whose costs fit into one column. */
const FEW = 6;
/** Number of models in a graph; the colors of more can't be told apart. */
const COLORS = 8;

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

// Names from the service are shown as code. A backtick in a name would end it.

/** Returns what an estimate leaves out, if anything, as a template. */
function leftOut(entity, text) {
  const covered = text("estimate_covers", {
    // Rounded down, so that a part that is left out does not look like nothing.
    share: "{{ share | round(0, 'floor') | int }}",
  });
  const without = text("estimate_leaves_out", {
    models: "`{{ models | map('replace', '`', '') | join('`, `') }}`",
  });
  return [
    `{% set share = state_attr('${entity}', 'share_priced') %}`,
    `{% set models = state_attr('${entity}', 'models_without_price') %}`,
    `{% if share is number and share < 100 %}${covered}<br>{% endif %}`,
    `{% if models %}${without}{% endif %}`,
  ].join("");
}

/** Returns the figures of each type of seats, if there are several, as a template. */
function seatTypes(entity, text) {
  // Half a credit is rounded up, as tiles do. The filter `round` rounds it to even.
  const number = (key) => `{{ (it.${key} + 0.5) | int }}`;
  const line = text("seat_type", {
    type: "`{{ type | replace('`', '') }}`",
    left: number("credits_left"),
    credits: number("credits"),
    assigned: number("assigned"),
    seats: number("seats"),
  });
  return [
    `{% set types = state_attr('${entity}', 'by_type') or {} %}`,
    "{% for type, it in types.items() if types | count > 1 %}",
    `{% if none not in it.values() %}${line}<br>{% endif %}`,
    "{% endfor %}",
  ].join("");
}

/** Returns the tiles of each model that has any, below its name. */
function tilesOf(keys, models) {
  return models.flatMap(({ name, entities: ids }) => {
    const tiles = keys.flatMap((key) => ids[key] ?? []).map((entity) => tile(entity));
    return tiles.length ? [subheading(name), ...tiles] : [];
  });
}

/** Returns the sections of an account, without those that would be empty. */
export function accountSections(hass, account, text) {
  const { entities, models, workspaces, apiKeys, spend } = account;
  const present = (...keys) => keys.flatMap((key) => entities[key] ?? []);
  const tiles = (...keys) => present(...keys).map((entity) => tile(entity));
  const wideIf = (many) => (many ? { column_span: COLUMNS } : {});

  const budget = numberOf(hass, entities.budget);
  const used = ["usage_pct", "load_pct"].map((key) => ({
    key,
    figures: ranked(hass, models, key).map(({ entities: ids }) => ids[key]),
  }));
  const estimates = ranked(hass, models, "daily_spend_estimate")
    .slice(0, FEW)
    .map(({ entities: ids }) => ids.daily_spend_estimate);

  /** Returns a bar for each part of the spend, and one for all others together. */
  const costs = (parts, others, othersText) => {
    const known = ranked(hass, parts, "monthly_spend");
    const bars = [
      ...known.map(({ entities: ids }) => [ids.monthly_spend]),
      ...others.map((id) => [id, othersText]),
    ];
    const highest = Math.max(...bars.map(([entity]) => numberOf(hass, entity) ?? 0));
    return {
      ...wideIf(known.length > FEW),
      cards: known.length ? bars.map(([id, name]) => bar(id, highest, name)) : [],
    };
  };

  /** Returns a graph of the parts that spent the most. */
  const perDay = (parts) => {
    const statistics = ranked(hass, parts, "monthly_spend")
      .flatMap((part) => part.spend)
      .slice(0, COLORS);
    const more = { chart_type: "bar-stack", ...BY_DAY };
    if (statistics.length > 1) {
      return [graph(statistics, more)];
    }
    // A single one has no legend.
    return statistics.map((it) => graph([it], { ...more, title: it.name }));
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
        ...present("budget_exhausted_on").map((id) => knownTile(id)),
        ...tiles("available_balance", "credit_balance"),
        ...present("balance_lasts_until").map((id) => knownTile(id)),
        ...present("estimate_to_bill_ratio").map((id) =>
          // It has a long name.
          knownTile(id, { grid_options: FULL }),
        ),
        ...present("estimated_daily_spend").map((id) => note(leftOut(id, text))),
      ],
    },
    {
      title: "prepaid",
      icon: "mdi:ticket-percent-outline",
      cards: [
        ...present("plan_credits_used_pct").flatMap((entity) => gauge(entity, 100)),
        ...[
          ...present("plan_credits_left", "plan_seats"),
          ...present("plan_credits_refresh", "plan_ends"),
          // Their names begin alike, and a narrow tile shows little else of them.
        ].map((id) => tile(id, { grid_options: FULL })),
        ...present("plan_seats").map((id) => note(seatTypes(id, text))),
        ...tiles("coupons_balance", "prepaid_cards_balance", "savings_plans_balance"),
        ...tiles("resource_packages_left"),
        ...present("next_expiry").map((id) =>
          knownTile(id, {
            // An amount has a currency or a unit; a tile leaves out what is unknown.
            state_content: ["state", "kind", "amount", "currency", "unit"],
            grid_options: FULL,
          }),
        ),
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
      title: "errors",
      icon: "mdi:alert-circle-outline",
      ...wideIf(models.length > FEW),
      cards: tilesOf(["error_rate_pct", "throttled_calls"], models),
    },
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
      title: "models_today",
      icon: "mdi:cash-fast",
      // At the start of a day, there is nothing to rank.
      visibility: [{ condition: "or", conditions: estimates.map(isNumber) }],
      cards: estimates.map((entity) => ({
        ...bar(entity, numberOf(hass, estimates[0])),
        visibility: [isNumber(entity)],
      })),
    },
    {
      title: "models_this_month",
      icon: "mdi:cash-clock",
      ...costs(models, present("other_models_monthly_spend"), text("other_models")),
    },
    {
      title: "models_per_day",
      icon: "mdi:chart-bar-stacked",
      cards: perDay(models),
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
      title: "workspaces_per_day",
      icon: "mdi:chart-bar-stacked",
      cards: perDay(workspaces),
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
      title: "api_keys_per_day",
      icon: "mdi:chart-bar-stacked",
      cards: perDay(apiKeys),
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
      cards: tilesOf(
        ["limit", "rpm", "tpm"],
        models.filter(({ entities: ids }) => !ids.usage_pct && !ids.load_pct),
      ),
    },
    // With an AccessKey, also one that reads nothing, there is access_key_problem.
    ...(entities.access_key_problem ? [] : present("available_data")).map((entity) => ({
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
