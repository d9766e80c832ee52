// Swagger UI's "Authorize": a key that is given there counts for the requests that are tried on the page.
import { chromium } from "playwright-core";

const [program, url] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox"] });
const page = await browser.newPage();
page.on("console", (message) => {
  if (message.type() === "error") console.log("console:", message.text());
});
await page.goto(`${url}/docs`);

const operation = page.locator("#operations-Sessions-me");
const outcome = operation.locator(".live-responses-table tbody .response-col_status").first();
const execute = async () => {
  const answered = page.waitForResponse((response) => response.url().endsWith("/api/me"));
  await operation.getByRole("button", { name: "Execute" }).click();
  await answered;
};
await operation.locator("button").first().click();
await operation.getByRole("button", { name: "Try it out" }).click();
await execute();
await outcome.filter({ hasText: "401" }).waitFor();
console.log("without a key: 401");

await page.click("button.authorize");
await page.fill(".auth-container input", process.env.ADMIN_KEY);
await page.click(".auth-btn-wrapper button.authorize");
await page.click(".auth-btn-wrapper .btn-done");
await execute();
await outcome.filter({ hasText: "200" }).waitFor();
console.log("with a key: 200");
await browser.close();
