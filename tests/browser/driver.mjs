// A real browser: runs functions of page.html in pages of several origins.  Standard input: {home, executable, steps: [{page, call, args}]}, which run side by side;
// standard output: a result a step, {value} or {error}, each with the errors that the browser itself has for its WebSockets.
import { chromium } from 'playwright-core';

const chunks = [];
for await (const c of process.stdin) chunks.push(c);
const { home, executable, steps } = JSON.parse(Buffer.concat(chunks));
const browser = await chromium.launch({
  executablePath: executable, headless: true, chromiumSandbox: false, env: { ...process.env, HOME: home }, timeout: 30000,
});
async function run({ page: address, call, args }) {
  const page = await (await browser.newContext()).newPage();
  const errors = [];
  page.on('websocket', (s) => s.on('socketerror', (e) => errors.push(String(e))));
  page.on('console', (m) => { if (m.type() === 'error') errors.push(m.text()); });
  try {
    await page.goto(address, { waitUntil: 'load' });
    return { value: await page.evaluate(([name, a]) => globalThis[name](a), [call, args]), errors };
  } catch (e) {
    return { error: String(e), errors };
  }
}
console.log(JSON.stringify(await Promise.all(steps.map(run))));
await browser.close();
