// The page: who is logged in, which view is open, what stands around it.
import { effect, signal } from "@preact/signals";
import { render, type ComponentChild } from "preact";
import { useEffect } from "preact/hooks";
import { logOut } from "./api";
import { connected, loggedIn, me, start } from "./store";
import "./style.css";
import { texts } from "./texts";
import { AppsPage } from "./views/apps";
import { CoresPage } from "./views/cores";
import { DevicePage } from "./views/device";
import { HealthPage } from "./views/health";
import { Login, tokenOf } from "./views/login";
import { PairPage } from "./views/pair";
import { Pool } from "./views/pool";
import { ResourcePage } from "./views/resource";
import { ScreenPage } from "./views/screen";

const theme = signal(localStorage.getItem("tutti-theme") ?? "auto");
effect(() => {
  const chosen = theme.value;
  localStorage.setItem("tutti-theme", chosen);
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
});

// The token leaves the address bar and the history before anything else happens.
const token = signal(tokenOf(location.hash));
if (token.value) history.replaceState(null, "", "/");

const route = signal(location.hash);
window.addEventListener("hashchange", () => {
  const fresh = tokenOf(location.hash);
  if (fresh) {
    token.value = fresh;
    loggedIn.value = false;
    history.replaceState(null, "", "/");
  }
  route.value = location.hash;
  document.getElementById("content")?.focus();
  window.scrollTo(0, 0);
});

const PAGES = [
  ["#/", texts.nav.pool],
  ["#/pair", texts.nav.pair],
  ["#/screen", texts.nav.screen],
  ["#/apps", texts.nav.apps],
  ["#/cores", texts.nav.cores],
  ["#/health", texts.nav.health],
] as const;

function view(hash: string): [string, ComponentChild] {
  const [, page = "", ...rest] = hash.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  switch (page) {
    case "": return [texts.nav.pool, <Pool />];
    case "pair": return [texts.nav.pair, <PairPage />];
    case "screen": return [texts.nav.screen, <ScreenPage />];
    case "apps": return [texts.nav.apps, <AppsPage />];
    case "cores": return [texts.nav.cores, <CoresPage />];
    case "health": return [texts.nav.health, <HealthPage />];
    case "device": return [texts.nav.pool, <DevicePage key={rest[0]} id={rest[0] ?? ""} />];
    case "resource":
      return [texts.nav.pool, <ResourcePage key={rest.join("/")} device={rest[0] ?? ""} name={rest[1] ?? ""} />];
    default: return ["", <div class="empty"><h1>{texts.notFound}</h1><p><a href="#/">{texts.backToPool}</a></p></div>];
  }
}

function App() {
  if (token.value && !loggedIn.value) return <Login token={token.value} />;
  if (!loggedIn.value) return <Login />;
  return <Shell />;
}

function Shell() {
  useEffect(() => {
    token.value = undefined;
    void start();
  }, []);
  const [current, content] = view(route.value);
  useEffect(() => {
    document.title = texts.title(current || texts.product);
  }, [current]);
  return (
    <>
      <a class="skip" href="#content" onClick={(event) => { event.preventDefault(); document.getElementById("content")?.focus(); }}>
        {texts.skip}
      </a>
      <header>
        <a class="brand" href="#/"><img src="/icon.svg" alt="" width={26} height={26} /><span>{texts.product}</span></a>
        <nav aria-label={texts.nav.label}>
          {PAGES.map(([href, name]) => (
            <a key={href} href={href} aria-current={name === current ? "page" : undefined}>{name}</a>
          ))}
        </nav>
        <p class={connected.value ? "live on" : "live"} role="status">
          <span class="dot" aria-hidden="true" />
          <span class="live-text">{connected.value ? me.value?.name ?? texts.live : texts.reconnecting}</span>
        </p>
        <select class="theme" aria-label={texts.theme.label} value={theme} onChange={(event) => (theme.value = event.currentTarget.value)}>
          <option value="auto">{texts.theme.auto}</option>
          <option value="light">{texts.theme.light}</option>
          <option value="dark">{texts.theme.dark}</option>
        </select>
        <button type="button" class="quiet" onClick={() => void logOut()}>{texts.logout}</button>
      </header>
      <main id="content" tabIndex={-1}>{content}</main>
    </>
  );
}

render(<App />, document.getElementById("app")!);
