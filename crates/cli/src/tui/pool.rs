//! Draws the pool: its devices with their state, and what each offers with live values.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Paragraph},
};
use tutti_control::{Device, Presence, Resource};

use super::model::Pool;
use crate::{
    printer::{harmless, width},
    words,
};

const FAINT: Style = Style::new().fg(Color::DarkGray);
const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);

/// Characters of a value's recent past.
const SPARK: usize = 24;
/// Characters of the usual words for a kind, up to `actuator`.
const KIND: usize = 8;

/// Draws the pool into the area, `scroll` lines down. Gives how far it can be scrolled.
pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, pool: &Pool, scroll: u16) -> u16 {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(area);
    frame.render_widget(title(pool), head);
    let [left, right] =
        Layout::horizontal([Constraint::Length(32.min(area.width / 3).max(18)), Constraint::Min(0)]).areas(body);

    let block =
        |title: &'static str| Block::new().borders(Borders::TOP).border_style(FAINT).title(Span::styled(title, FAINT));
    frame.render_widget(Paragraph::new(devices(pool)).block(block(" devices ")), left);
    let lines = resources(pool, usize::from(right.width));
    let room = usize::from(right.height.saturating_sub(1));
    let furthest = u16::try_from(lines.len().saturating_sub(room)).unwrap_or(u16::MAX);
    frame.render_widget(Paragraph::new(lines).block(block(" resources ")).scroll((scroll.min(furthest), 0)), right);

    let keys = if furthest > 0 { "q quit  ↑↓ scroll" } else { "q quit" };
    frame.render_widget(Line::styled(keys, FAINT), foot);
    furthest
}

fn title(pool: &Pool) -> Line<'static> {
    let mut spans = vec![Span::styled("Tutti ", STRONG)];
    match (&pool.trouble, &pool.group) {
        (Some(trouble), _) => spans.push(Span::styled(harmless(trouble), Style::new().fg(Color::Red))),
        (None, None) => spans.push(Span::styled("connecting", FAINT)),
        (None, Some(group)) => {
            let all = pool.devices.len();
            let text = format!(
                "group {}  {} of {} online",
                words::short(&group.id),
                pool.online(),
                words::count(all, "device")
            );
            spans.push(Span::raw(text));
        }
    }
    Line::from(spans)
}

fn devices(pool: &Pool) -> Vec<Line<'static>> {
    let mut lines: Vec<_> = pool.devices.iter().flat_map(device).collect();
    if !pool.nearby.is_empty() {
        lines.push(Line::raw(""));
        lines.push(Line::styled("nearby, not in the group", FAINT));
        lines.extend(pool.nearby.iter().map(|nearby| {
            let note = if nearby.pairing_open { "  shows a code" } else { "" };
            Line::from(vec![
                Span::raw(format!("  {}", harmless(&nearby.name))),
                Span::styled(note, Style::new().fg(Color::Green)),
            ])
        }));
    }
    lines
}

fn device(device: &Device) -> [Line<'static>; 2] {
    let (sign, colour, state) = match device.presence {
        Presence::Myself => ("◆", Color::Cyan, "this device".to_owned()),
        Presence::Online => {
            let rtt = device.rtt_ms.map(|rtt| format!(", {rtt:.1} ms")).unwrap_or_default();
            ("●", Color::Green, format!("online{rtt}"))
        }
        Presence::Offline => {
            let ago = device.last_seen_ms_ago.map(|ago| format!(", seen {} ago", words::span(ago))).unwrap_or_default();
            ("○", Color::Red, format!("offline{ago}"))
        }
    };
    let role = device.role.map(|role| format!("  {role}")).unwrap_or_default();
    [
        Line::from(vec![
            Span::styled(format!("{sign} "), Style::new().fg(colour)),
            Span::styled(harmless(&device.name), STRONG),
            Span::styled(role, FAINT),
        ]),
        Line::styled(format!("  {state}"), FAINT),
    ]
}

/// A heading for each device, and a line for each of its resources.
fn resources(pool: &Pool, wide: usize) -> Vec<Line<'static>> {
    let names = pool.resources.iter().map(|one| width(&harmless(&one.name))).max().unwrap_or_default().min(28);
    let mut lines = Vec::new();
    for device in &pool.devices {
        let of_it: Vec<_> = pool.resources.iter().filter(|one| one.device == device.id).collect();
        if of_it.is_empty() {
            continue;
        }
        let style = if device.presence == Presence::Offline { STRONG.fg(Color::DarkGray) } else { STRONG };
        lines.push(Line::styled(harmless(&device.name), style));
        lines.extend(of_it.into_iter().map(|one| resource(pool, one, names, wide)));
    }
    lines
}

fn resource(pool: &Pool, resource: &Resource, names: usize, wide: usize) -> Line<'static> {
    let value = resource.value.as_ref().map(|value| harmless(&words::value(value, &resource.unit))).unwrap_or_default();
    let style = if resource.online { Style::new() } else { FAINT };
    let name = fit(&harmless(&resource.name), names);
    let mut spans = vec![
        Span::styled(format!("  {name}"), style),
        Span::styled(right(&value, 14), style.add_modifier(Modifier::BOLD)),
        // Whatever else has no room: that a value is made up is always said.
        Span::styled(if resource.simulated { "  simulated" } else { "           " }, Style::new().fg(Color::Yellow)),
    ];
    // What is left between the name with its value and the kind.
    let spark = wide.saturating_sub(names + 2 + 14 + 11 + 2 + 2 + KIND).min(SPARK);
    if spark >= 8 {
        let colour = if resource.online { Color::Cyan } else { Color::DarkGray };
        spans.push(Span::styled(format!("  {:spark$}", pool.line(resource, spark)), Style::new().fg(colour)));
    }
    spans.push(Span::styled(format!("  {}", harmless(&resource.kind)), FAINT));
    if let Some(lease) = &resource.lease {
        spans
            .push(Span::styled(format!("  held by {}", harmless(&lease.holder_name)), Style::new().fg(Color::Magenta)));
    }
    Line::from(spans)
}

/// The text at the left of exactly this many columns.
fn fit(text: &str, columns: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if width(&out) + width(c.encode_utf8(&mut [0; 4])) > columns {
            break;
        }
        out.push(c);
    }
    let fill = columns.saturating_sub(width(&out));
    out + &" ".repeat(fill)
}

/// The text at the right of at least this many columns.
fn right(text: &str, columns: usize) -> String {
    " ".repeat(columns.saturating_sub(width(text))) + text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::sample;
    use ratatui::{Terminal, backend::TestBackend};
    use tutti_control::Event;

    fn picture(pool: &Pool, columns: u16, rows: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal
            .draw(|frame| {
                draw(frame, frame.area(), pool, 0);
            })
            .unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_pool() {
        let mut pool = Pool::default();
        insta::assert_snapshot!("connecting", picture(&pool, 60, 4));
        pool.apply(Event::Group(sample::group()));
        pool.apply(Event::Devices(sample::devices()));
        pool.apply(Event::Nearby(sample::nearby()));
        pool.apply(Event::Resources(sample::resources()));
        for step in 0..12 {
            pool.reading(sample::reading(20.0 + f64::from(step % 5)));
        }
        insta::assert_snapshot!("pool", picture(&pool, 118, 16));
        insta::assert_snapshot!("pool_small", picture(&pool, 50, 8));
        pool.trouble = Some("the device has stopped".into());
        insta::assert_snapshot!("pool_in_trouble", picture(&pool, 60, 3));
    }

    #[test]
    fn no_size_is_too_small() {
        let mut pool = Pool::default();
        pool.apply(Event::Devices(sample::devices()));
        pool.apply(Event::Resources(sample::resources()));
        for (columns, rows) in [(1, 1), (2, 1), (1, 9), (7, 3), (300, 2)] {
            picture(&pool, columns, rows);
        }
    }

    #[test]
    fn texts_fit() {
        assert_eq!(fit("温度", 3), "温 ");
        assert_eq!(fit("a", 3), "a  ");
        assert_eq!(right("°C", 4), "  °C");
    }
}
