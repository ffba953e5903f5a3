//! Agents that lie. A lie has the weight of a vote and no more.

use super::*;

/// Five vantages watch three regions. After a calm start the honest ones see `truth`, and the first few see what they
/// `lie`. Gives the board after two minutes.
fn told(truth: &str, lies: &[&str]) -> World {
    let mut world = World::new(5, 3);
    world.seconds(10, &["..."; 5]);
    let mut columns = [truth; 5];
    columns[..lies.len()].copy_from_slice(lies);
    world.seconds(120, &columns);
    world
}

fn moved(world: &World) -> Vec<usize> {
    let stands = |vantage| world.board.standing_from(VantageId(vantage), EndpointId(0)).state == State::Down;
    (0..5).filter(|vantage| stands(*vantage)).map(usize::from).collect()
}

#[test]
fn one_liar_of_five_moves_only_its_own_clients() {
    let world = told("...", &["x.."]);
    assert_eq!((world.withdrawals(), moved(&world)), (vec![], vec![0]));
}

#[test]
fn two_liars_of_five_withdraw_nothing_together() {
    let world = told("...", &["x..", "x.."]);
    assert_eq!((world.withdrawals(), moved(&world)), (vec![], vec![0, 1]));
}

#[test]
fn liars_that_see_everything_fail_are_blind_and_move_nobody() {
    let world = told("...", &["xxx", "xxx"]);
    assert_eq!((world.withdrawals(), moved(&world)), (vec![], vec![]));
}

#[test]
fn liars_that_change_their_minds_each_second_withdraw_nothing() {
    let mut world = World::new(5, 3);
    world.seconds(10, &["..."; 5]);
    for _ in 0..100 {
        world.second(&["x..", ".x.", "...", "...", "..."]);
        world.second(&["...", "..x", "...", "...", "..."]);
    }
    assert_eq!((world.withdrawals(), moved(&world)), (vec![], vec![]));
}

#[test]
fn one_liar_cannot_keep_the_dead_and_two_can() {
    assert_eq!(told("x..", &["..."]).state(0), State::Down);
    let kept = told("x..", &["...", "..."]);
    assert_ne!(kept.state(0), State::Down, "three of five are no quorum");
    assert_eq!(moved(&kept), [2, 3, 4], "but the honest move the clients near them");
}
