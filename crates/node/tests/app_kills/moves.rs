//! Both apps move between the two devices at the same time, and one of these is killed. What the counter was told before a move it must know
//! after it, no more and no less. The relay's numbers only grow: an effect that came twice, or of an earlier home, would make them fall.

use std::time::{Duration, Instant};

use super::{
    NAMES, World, plan,
    support::{apps::on, eventually},
};

#[expect(clippy::print_stdout, reason = "how many kills there were is what the layer asks for")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_seeded_moments_of_moves() {
    let (kills, mut rng) = plan();
    let mut world = World::begin(&on(NAMES[0])).await;
    let (counter, relay) = (world.counter.clone(), world.relay.clone());
    let (mut moved, mut came_back) = (0, 0);
    for kill in 0..kills {
        let began = Instant::now();
        let from = world.settled(&counter, began).await;
        let teller = world.settled(&relay, began).await;
        world.pair[from].client.tell_instance(&counter, "add 1").await.unwrap();
        world.set_next(teller).await;
        // By now it is durable; what comes after may be lost with whoever is killed.
        eventually("it knows", async || world.count(from).await == kill + 1).await;
        tokio::time::sleep(Duration::from_millis(60)).await;

        let to = 1 - from;
        world.pair[from].client.move_instance(&counter, NAMES[to]).await.unwrap();
        let other = if world.home(&relay).await == Some(0) { 1 } else { 0 };
        let _ = world.pair[1 - other].client.move_instance(&relay, NAMES[other]).await;
        tokio::time::sleep(Duration::from_micros(rng.u64(..250_000))).await;
        world.never_two(&counter).await;
        let victim = rng.usize(..2);
        world.kill(victim);
        tokio::time::sleep(Duration::from_millis(rng.u64(..1500))).await;
        world.start(victim);
        let at = world.healed(Instant::now()).await;
        if at == to {
            moved += 1
        } else {
            came_back += 1
        }
        let knows = world.count(at).await;
        assert_eq!(knows, kill + 1, "kill {kill}: {} was killed; it is on {}", NAMES[victim], NAMES[at]);
    }
    println!("{kills} kills: {moved} times it had moved, {came_back} times it had stayed");
    let set = world.last_effect().await;
    assert!(set.is_sorted(), "an effect came late or twice: {set:?}");
}
