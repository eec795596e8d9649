/** Finds the accounts that are set up, with their entities and their statistics. */

export const DOMAIN = "alibaba_cloud";

/** How far back the graphs show spend. */
export const BY_DAY = { period: "day", days_to_show: 30 };
export const BY_MONTH = { period: "month", days_to_show: 365 };

/**
 * Returns the accounts with their models, workspaces and API keys, each with its entity
 * IDs by key.
 *
 * Only entities that can be shown are among them: `hass.entities` has those that are
 * enabled, of which some are hidden or have no state.
 */
export function findAccounts(hass, options) {
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
      // A model whose name has only invisible characters has a device without a name.
      name: device.name_by_user || device.name || "",
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
 * Adds to accounts the statistics of what they spent, and of what their models,
 * workspaces and API keys spent.
 *
 * Where a bill is read, its days are imported under IDs of their own. Otherwise there
 * is what Home Assistant recorded of the sensor.
 */
export async function addSpend(hass, accounts) {
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
    const parts = [
      [account.models, ""],
      [account.workspaces, "workspace_"],
      [account.apiKeys, "api_key_"],
    ].flatMap(([those, kind]) => those.map((part) => [part, kind]));
    for (const [part, kind] of parts) {
      const ofPart = statisticsOf(part.key, kind);
      part.spend = imported
        .filter(({ entity }) => ofPart.test(entity.slice(prefix.length)))
        .map(({ entity }) => ({ entity, name: part.name }));
    }
  }
}

/** As in owners.py. */
const LONGEST_SLUG = 150;

/**
 * Returns what the IDs of the statistics of a part, such as a model, match after the
 * account's prefix.
 *
 * The IDs of a workspace or an API key have its kind before "spend".
 *
 * owners.py cuts long names, and adds a checksum to names that other names could be
 * confused with.
 */
export function statisticsOf(key, kind = "") {
  const slug = (key.toLowerCase().match(/[a-z0-9]+/g) ?? []).join("_");
  const words = [slug.slice(0, LONGEST_SLUG).replace(/_$/, "")].filter(Boolean);
  if (slug.length > LONGEST_SLUG || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(key)) {
    words.push(checksum(key));
  }
  return new RegExp(`^[a-z]+_${kind}spend_${words.join("_")}$`);
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
export function numberOf(hass, entity) {
  const number = parseFloat(hass.states[entity]?.state);
  return Number.isNaN(number) ? null : number;
}

/**
 * Returns the scales of the bars of this month's costs and of today's estimates, as
 * powers of two; null if nothing is spent.
 *
 * The device of a model, a workspace or an API key has a parent.
 */
export function scalesOfCosts(hass) {
  const own = Object.values(hass.entities).filter(
    ({ platform }) => platform === DOMAIN,
  );
  const isCost = ({ translation_key: key, device_id: device }) =>
    key === "monthly_spend"
      ? hass.devices[device]?.parent_device_id
      : /^other_\w+_monthly_spend$/.test(key);
  const isEstimate = ({ translation_key: key }) => key === "daily_spend_estimate";
  return [isCost, isEstimate].map((isShown) => {
    const figures = own
      .filter(isShown)
      .map(({ entity_id: id }) => numberOf(hass, id) ?? 0);
    const highest = Math.max(0, ...figures);
    return highest > 0 ? Math.floor(Math.log2(highest)) : null;
  });
}

/** Returns the models, or other parts, that have a figure, the highest first. */
export function ranked(hass, parts, key) {
  return parts
    .filter(({ entities }) => entities[key])
    .map((part) => [numberOf(hass, part.entities[key]) ?? -1, part])
    .sort(([one], [other]) => other - one)
    .map(([, part]) => part);
}
