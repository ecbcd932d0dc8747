import type { ScreenFrame } from "../api";
import { texts } from "../texts";

/** What a display shows: lines of text, or a picture. */
export function Frame({ frame, big }: { frame?: ScreenFrame; big?: boolean }) {
  const empty = !frame?.image && !frame?.text?.length;
  return (
    <figure class={big ? "frame large" : "frame"}>
      {frame?.image ? (
        <img src={`data:image/png;base64,${frame.image}`} alt={texts.display.title} draggable={false} />
      ) : (
        <pre>{empty ? "" : frame!.text!.join("\n")}</pre>
      )}
      <figcaption>{frame?.from ? texts.display.drawnBy(frame.from) : empty ? texts.display.empty : ""}</figcaption>
    </figure>
  );
}
