import { connected } from "../store";
import { texts } from "../texts";

/** What a page shows of something that is not there. */
export function Gone() {
  if (!connected.value) return <p class="faint">{texts.loading}</p>;
  return (
    <div class="empty">
      <h1>{texts.gone}</h1>
      <p><a href="#/">{texts.backToPool}</a></p>
    </div>
  );
}
