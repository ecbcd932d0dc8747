import { useEffect, useState } from "preact/hooks";
import { logIn } from "../api";
import { Field, Trouble, useAction } from "../parts/bits";
import { loggedIn } from "../store";
import { texts } from "../texts";

/** Takes the token of a link; none if there is none. */
export function tokenOf(link: string): string | undefined {
  return /#login=([0-9a-f]{64})$/.exec(link.trim())?.[1];
}

export function Login({ token }: { token?: string }) {
  const [link, setLink] = useState("");
  const [wrong, setWrong] = useState<string>();
  const { busy, error, act } = useAction();
  const enter = (token: string) =>
    act(async () => {
      await logIn(token);
      loggedIn.value = true;
    });
  useEffect(() => {
    if (token) enter(token);
  }, [token]);
  const submit = (event: Event) => {
    event.preventDefault();
    const found = tokenOf(link);
    if (!found) return setWrong(texts.login.bad);
    enter(found);
  };
  return (
    <main class="login">
      <form class="panel narrow" onSubmit={submit} noValidate>
        <h1><img src="/icon.svg" alt="" width={36} height={36} /> {texts.product}</h1>
        <p>{texts.login.how} <code>{texts.login.command}</code> {texts.login.then}</p>
        <Trouble error={error} />
        <Field label={texts.login.paste} error={wrong}>
          {(ids) => (
            <input {...ids} type="text" autocomplete="off" spellcheck={false} value={link}
              onInput={(event) => { setLink(event.currentTarget.value); setWrong(undefined); }} />
          )}
        </Field>
        <button type="submit" class="primary" aria-busy={busy}>{texts.login.go}</button>
      </form>
    </main>
  );
}
