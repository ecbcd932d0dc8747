"""What a sensor was like in the last 24 hours, on any display: lowest, highest, median, and how much it wavered.

It is here to show that an app may be in Python: `build.sh` makes a component of it with componentize-py. The interpreter comes
along, 18 MB of it, so it runs where Linux does; and since it is made of several modules that share a memory, an instance cannot
be moved while it runs, which is said when it is installed.

- it takes a reading a minute, of which it keeps a day
- a message "show" is answered with a line; each hour the line goes to the log
"""

from collections import deque
from statistics import median, pstdev
from typing import Optional

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import clock, display, log, messages, pool, sensor, types

# The manifest's words.
SENSOR = "sensor"
SCREEN = "screen"

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# The timer that goes off each hour.
HOURLY = 1

# Readings of the last day: when, and what.
readings: deque[tuple[int, float]] = deque(maxlen=DAY // MINUTE)


def number(value: types.Value) -> Optional[float]:
    match value:
        case types.Value_Int() | types.Value_Float() | types.Value_Bool():
            return float(value.value)
        case _:
            return None


def forget_what_is_old() -> None:
    while readings and readings[0][0] + DAY < clock.now():
        readings.popleft()


def summary() -> str:
    forget_what_is_old()
    if not readings:
        return "no readings yet"
    values = [value for _, value in readings]
    parts = {"lowest": min(values), "highest": max(values), "median": median(values), "wavers by": pstdev(values)}
    return f"{len(values)} readings: " + ", ".join(f"{name} {value:.2f}" for name, value in parts.items())


def show() -> None:
    def label(y: int, size: int, text: str) -> display.Shape:
        return display.Shape_Label(display.Label(50, y, size, text))

    shapes = [label(50, 60, pool.find(SENSOR) or "no sensor")]
    shapes += [label(200 + 120 * at, 90, part) for at, part in enumerate(summary().split(", "))]
    try:
        display.show(SCREEN, shapes)
    except Err:
        pass  # Without a display it keeps count all the same.


class Events(exports.Events):
    def started(self) -> None:
        try:
            sensor.follow(SENSOR, MINUTE)
            clock.set_timer(HOURLY, HOUR)
        except Err as error:
            log.write(log.Level.ERROR, f"the sensor cannot be followed: {error.value}")
        show()

    def resumed(self) -> None:
        show()

    def timer(self, id: int) -> None:
        log.write(log.Level.INFO, summary())
        clock.set_timer(HOURLY, HOUR)

    def measured(self, name: str, reading: types.Reading) -> None:
        value = number(reading.value)
        if value is None:
            return log.write(log.Level.WARN, "the sensor does not give numbers")
        readings.append((reading.at, value))
        show()

    def input(self, name: str, action: types.Action) -> None:
        pass

    def message(self, from_: str, body: bytes) -> None:
        if body != b"show":
            return log.write(log.Level.WARN, "the only question that is answered is: show")
        log.write(log.Level.INFO, summary())
        try:
            messages.send(from_, summary().encode())
        except Err:
            pass  # Whoever asked may be a person, to whom no message can be sent: the log has the answer.

    def changed(self, name: str, there: bool) -> None:
        if there:
            show()
