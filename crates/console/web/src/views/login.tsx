import { useEffect, useState } from "preact/hooks";
import { logIn, type Word } from "../api";
import { Field, Trouble, useAction } from "../parts/bits";
import { loggedIn } from "../store";
import { texts } from "../texts";

/** Takes the token of a link; none if there is none. */
export function tokenOf(link: string): string | undefined {
  return /#login=([0-9a-f]{64})$/.exec(link.trim())?.[1];
}

/** What a person typed or pasted: a link, or a code, with a space in it or not. */
function wordOf(text: string): Word | undefined {
  const token = tokenOf(text);
  if (token) return { token };
  const code = text.replace(/\s/g, "");
  return /^[0-9]{6}$/.test(code) ? { code } : undefined;
}

/** Whether this page is on another machine than its device, where codes count. */
const elsewhere = location.protocol === "https:";

export function Login({ token }: { token?: string }) {
  const [link, setLink] = useState("");
  const [wrong, setWrong] = useState<string>();
  const { busy, error, act } = useAction();
  const enter = (word: Word) =>
    act(async () => {
      await logIn(word);
      loggedIn.value = true;
    });
  useEffect(() => {
    if (token) enter({ token });
  }, [token]);
  const submit = (event: Event) => {
    event.preventDefault();
    const found = wordOf(link);
    if (!found) return setWrong(elsewhere ? texts.login.badElsewhere : texts.login.bad);
    enter(found);
  };
  return (
    <main class="login">
      <form class="panel narrow" onSubmit={submit} noValidate>
        <h1><img src="/icon.svg" alt="" width={36} height={36} /> {texts.product}</h1>
        <p>
          {elsewhere ? texts.login.howElsewhere : texts.login.how}{" "}
          <code>{elsewhere ? texts.login.commandElsewhere : texts.login.command}</code> {texts.login.then}
        </p>
        <Trouble error={error} />
        <Field label={elsewhere ? texts.login.type : texts.login.paste} error={wrong}>
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
