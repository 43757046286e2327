// Drives a page of target `web` in Firefox: node firefox.mjs FIREFOX URL TABLE FOLDER
// Predicts the example, has TABLE scored and saved in FOLDER, and prints what the page showed as JSON.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import puppeteer from "puppeteer-core";

const [executablePath, url, table, folder] = process.argv.slice(2);
const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath,
  headless: true,
  extraPrefsFirefox: { "browser.download.folderList": 2, "browser.download.dir": folder, "browser.download.always_ask_before_handling_new_types": false },
});
try {
  const page = await browser.newPage();
  const said = [];
  const asked = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
  page.on("request", (request) => asked.push(request.url()));
  await page.setViewport({ width: 1280, height: 900 });
  await page.goto(url);
  await page.waitForSelector("html[data-ready]", { timeout: 60_000 });
  const status = await page.$eval("#status", (each) => each.textContent);
  await page.click("#example");
  await page.waitForSelector(".answer");
  const answer = await page.$eval(".answer", (each) => each.dataset.value);
  await (await page.$("#file")).uploadFile(table);
  await page.waitForSelector("#file-result > *", { timeout: 60_000 });
  const problems = await page.$$eval("#file-result .problems li", (all) => all.map((each) => each.textContent));
  const tops = await page.$$eval("#fields .label + div > :first-child", (all) => all.map((each) => each.getBoundingClientRect().top));
  await page.screenshot({ path: join(folder, "page.png"), fullPage: true });
  if (problems.length === 0) {
    const saved = join(folder, basename(table).replace(".csv", "_predictions.csv"));
    await page.click("#file-result a.button");
    for (let i = 0; i < 300 && (!existsSync(saved) || existsSync(`${saved}.part`)); i += 1) await new Promise((resolve) => setTimeout(resolve, 100));
  }
  process.stdout.write(JSON.stringify({ status, answer, problems, tops, said, asked: asked.filter((each) => !each.startsWith("data:")) }));
} finally {
  await browser.close();
}
