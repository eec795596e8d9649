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

const TYPE = "alibaba-cloud";

// "Add dashboard" lists what is registered when this module is loaded, which does not wait
// for the other modules.
window.customStrategies ??= [];
if (!window.customStrategies.some(({ type }) => type === TYPE)) {
  window.customStrategies.push({
    type: TYPE,
    strategyType: "dashboard",
    name: "Alibaba Cloud Model Studio",
  });
}

// Browsers cache a module for weeks, by its whole URL. The query in the URL of this module
// changes with the content of any module (dashboard.py). The others are loaded with the same
// query, which a static import could not add. In YAML, the query is the user's.
const { search } = new URL(import.meta.url);
const [
  { DOMAIN, addSpend, findAccounts, scalesOfCosts },
  { COLUMNS, ICON, INTEGRATION, accountSections },
] = await Promise.all([
  import(`./accounts.js${search}`),
  import(`./sections.js${search}`),
]);

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
   * or estimates no longer fit their bars.
   */
  static shouldRegenerate(config, before, now) {
    return (
      before.entities !== now.entities ||
      before.devices !== now.devices ||
      `${scalesOfCosts(before)}` !== `${scalesOfCosts(now)}` ||
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
