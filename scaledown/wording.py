"""Every state in two renderings: the launch manager's sentence, and the customer's plainer one.

Connections are not visitors; without a count the customer reads how long we wait and why. "Your site is up"
is said only when a check shows it. Pure: values in, two sentences out.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from portal.cloud.types import BalancerStatus


class Words(NamedTuple):
    """One thing said to both readers."""

    says: str
    customer_says: str


def seconds(value: float) -> str:
    """Return a duration as people say it: `40 s`, `3 min`, `2 h`."""
    if value < 90:
        return f"{max(0, round(value))} s"
    if value < 5400:
        return f"{round(value / 60)} min"
    return f"{value / 3600:.1f} h"


def clock(at: datetime) -> str:
    """Return a time of day in UTC; pages show the journal's own times in the viewer's zone."""
    return f"{at:%d %b %H:%M} UTC"


def servers_of(count: int) -> str:
    """Return a number of servers as people say it."""
    return f"{count} server{'' if count == 1 else 's'}"


def count_of(connections: int) -> str:
    """Return `1 connection`, `14 connections`."""
    return f"{connections} connection{'' if connections == 1 else 's'}"


def customer_change(action: str, name: str) -> str:
    """Return a change at the provider as the customer reads it, to stand after a colon."""
    return {
        "drain_node": f"{name} takes no new connections",
        "remove_node": f"{name} leaves service",
        "enable_node": f"{name} serves again",
        "add_node": f"{name} serves again",
        "delete_server": f"{name} is deleted",
        "stop_server": f"{name} is switched off",
        "start_server": f"{name} is switched on again",
        "create_server": f"{name} is built anew from its copy",
        "create_image": f"a copy of {name} is made",
    }[action]


# --- the run as a whole ---------------------------------------------------------------------------------


def looking_before_start() -> Words:
    return Words("Reading the pool afresh before the start.", "We are checking everything before we start.")


def looking_before_window() -> Words:
    return Words(
        "Reading the pool afresh, since the next window has opened.",
        "We are checking everything before we go on.",
    )


def starts_at(at: datetime) -> Words:
    return Words(f"The window opens {clock(at)}.", f"We start {clock(at)}. Nothing for you to do.")


def frozen(says: str, *, ends: bool) -> Words:
    if not ends:
        return Words(
            f"{says} Nothing starts or goes on while that is so, unless a lead lets it.",
            f"{says} We wait while that is so. Nothing for you to do.",
        )
    return Words(
        f"{says} Nothing starts or goes on before it is over.",
        f"{says} We wait until it is over. Nothing for you to do.",
    )


def worse(says: str) -> Words:
    return Words(
        f"{says} What was approved rested on more. Measure anew or enter what is right, then resume; a lead may resume all the same.",
        f"Paused for safety: {says} Your launch manager decides how it goes on.",
    )


def nobody_to_call(says: str) -> Words:
    return Words(
        says,
        "We wait until somebody of yours can be called. Prove and confirm your contacts.",
    )


def started(count: int, target: int) -> Words:
    return Words(
        f"Pre-flight is good: the pool is as approved. {servers_of(count)} {'comes' if count == 1 else 'come'} out, "
        f"{target} {'stays' if target == 1 else 'stay'}.",
        f"We have started. {servers_of(count)} {'comes' if count == 1 else 'come'} out of service"
        f"{'' if count == 1 else ' one after another'}; {target} {'stays' if target == 1 else 'stay'}.",
    )


def pool_changed(difference: str) -> Words:
    return Words(
        f"Not started: the pool is not as approved. {difference} Nothing was changed. Draw up a new plan.",
        "Not started: your servers are no longer as they were when the plan was approved. "
        "Nothing was changed. We draw up a new plan.",
    )


def pool_changed_since(difference: str) -> Words:
    """The run had begun, rested, and was to go on."""
    return Words(
        f"The run does not go on: the pool is not as approved. {difference} Nothing was changed meanwhile. Abort, and draw up a "
        "new plan.",
        "Paused for safety: your servers are no longer as they were when the plan was approved. Nothing was changed meanwhile.",
    )


def not_ready(why: str) -> Words:
    return Words(f"Not started yet: {why}", "Not started yet: we wait until everything can be checked.")


def blind(names: str, since_s: float) -> Words:
    return Words(
        f"The provider has not shown load balancer {names} for {seconds(since_s)}. Nothing is changed meanwhile.",
        "We cannot see your servers for a moment. Nothing is changed meanwhile.",
    )


def lost_sight(names: str) -> Words:
    return Words(
        f"The provider has not shown load balancer {names} for 5 minutes. Nothing was changed since.",
        "Paused for safety: we cannot see your servers. Nothing was changed since.",
    )


def load_unknown(names: str, since_s: float) -> Words:
    return Words(
        f"What {names} carries has not been known for {seconds(since_s)} while a server of this run is out: "
        "rising traffic could go unseen. Nothing more is taken out; what is out can be put back.",
        "Paused for safety: we cannot see how much all of your servers carry. We look into it.",
    )


def balancer_gone(names: str) -> Words:
    return Words(
        f"Load balancer {names} no longer exists at the provider. Nothing was changed by this run since.",
        "Paused for safety: a load balancer of yours no longer exists. We call you.",
    )


def balancer_waits(name: str, status: BalancerStatus) -> Words:
    busy_as_usual = {BalancerStatus.PENDING_UPDATE, BalancerStatus.BUILD}
    return Words(
        f"{name} takes no change now: it is {status.value}.",
        "Your load balancer is applying a change. Nothing for you to do."
        if status in busy_as_usual
        else "Your load balancer takes no changes at the moment. Nothing is changed meanwhile; we look at it.",
    )


def window_opens(at: datetime) -> Words:
    return Words(f"Waiting for the window: it opens {clock(at)}.", f"We go on {clock(at)}.")


def window_for_held(name: str, at: datetime) -> Words:
    return Words(
        f"{name} has been held for its time. What comes next begins in the window's hours: {clock(at)}.",
        f"{name} is out of service and can still come back. We go on {clock(at)}.",
    )


def window_goes_on(name: str, end: datetime, opens: datetime) -> Words:
    return Words(
        f"{name} does not fit any more into the window, which ends {clock(end)}. It begins in the next one: {clock(opens)}.",
        f"The agreed time is over for now. We go on {clock(opens)}. Nothing for you to do.",
    )


def window_too_short(name: str, end: datetime) -> Words:
    return Words(
        f"{name} does not fit any more into the window, which ends {clock(end)}.",
        "Paused: the agreed time is over. The servers that are left stay in service.",
    )


def peak_missed(name: str, over_at: datetime) -> Words:
    return Words(
        f"{name} does not begin: it would not be out of the pool before the peak that is over {clock(over_at)}, through which "
        "servers are to be held. Finish here, and plan the rest anew.",
        f"Paused: {name} stays in service, since it could not be watched through your next busy time.",
    )


def window_over(name: str) -> Words:
    return Words(
        f"The window is over: {name} is put back into the pool.",
        f"The agreed time is over: {name} stays in service for now.",
    )


def paused_by(name: str) -> Words:
    return Words(f"Paused by {name}.", "Paused by a person. Nothing for you to do.")


def put_back_at_limit(name: str, by: str) -> Words:
    return Words(
        f"Paused: {by} had {name} put back at the drain limit. Resume to go on with the next server, or finish here.",
        f"Paused by a person: {name} goes back into service.",
    )


def paused_as_asked() -> Words:
    return Words("Paused after the server in hand, as asked.", "Paused by a person.")


def held_for_change() -> Words:
    return Words(
        "Paused before the next server: the site was changed meanwhile (see the journal). Look whether it is well, then resume.",
        "Paused before the next server: your site was changed meanwhile. Your launch team looks whether it is well.",
    )


def pause_between(until: datetime) -> Words:
    return Words(
        "Pausing between two servers, as planned.",
        "A planned pause before the next server. Nothing for you to do.",
    )


def nobody_in_charge() -> Words:
    return Words(
        "Nobody is in charge: no next server begins until someone takes charge.",
        "We wait until one of us has taken charge.",
    )


def standstill(sentence: str) -> Words:
    return Words(sentence, "Everything is stopped on purpose. Nothing is changed.")


def approval_gone(problem: str) -> Words:
    sentence = problem or "The approval of this plan no longer stands."
    return Words(f"Paused: {sentence}", "Paused: the approval of this plan no longer stands.")


def completed(retired: int, left: int) -> Words:
    return Words(
        f"Completed: {servers_of(retired)} retired, {left} {'serves' if left == 1 else 'serve'}.",
        f"Finished: {servers_of(retired)} {'is' if retired == 1 else 'are'} out of service and deleted, "
        f"{left} {'serves' if left == 1 else 'serve'} your site.",
    )


def aborted(back: int, may_live: str = "", left_out: str = "") -> Words:
    left, out = what_may_live(may_live), not_put_back(left_out)
    return Words(
        f"Aborted: {servers_of(back)} {'was' if back == 1 else 'were'} put back; nothing more is changed.{out.says}{left.says}",
        f"Stopped here. Everything that could be undone is undone.{out.customer_says}{left.customer_says}",
    )


def not_put_back(listed: str) -> Words:
    if not listed:
        return Words("", "")
    return Words(
        f" Could not be put back: {listed}. Not deleted, and paid for: look there by hand.",
        f" Not back in service: {listed}. We look there by hand.",
    )


def made_in_vain(listed: str) -> Words:
    if not listed:
        return Words("", "")
    return Words(
        f" Made for {listed} and not in service: paid for, look there by hand.",
        f" What was built for {listed} is not in service. We look there by hand.",
    )


def what_may_live(listed: str) -> Words:
    if not listed:
        return Words("", "")
    return Words(
        f" To be deleted, and may live on outside the pool: {listed}. Look there by hand.",
        f" We look after {listed} by hand.",
    )


def watching_peak(until: datetime) -> Words:
    return Words(
        f"Peak watch: every server is through, and the site is watched at its new size until the next peak is over "
        f"({clock(until)}). Nothing is changed; until then no other plan, drill or benchmark begins on this pool.",
        f"All servers are through. We watch your site through its next peak, until {clock(until)}. Nothing for you to do.",
    )


def finished_here(says: str) -> Words:
    return Words(says, "Finished here. The servers that are left stay in service.")


def busy(says: str) -> Words:
    return Words(says, "Your provider is busy; we try again in a moment. Nothing for you to do.")


def busy_for_long(says: str, since_s: float) -> Words:
    return Words(
        f"For {seconds(since_s)} the provider has been too busy to take a change, so the run stopped. {says}".strip(),
        "Paused for safety: your provider is too busy to take our changes. We look into it.",
    )


def refused(what: str, says: str) -> Words:
    return Words(
        f"The provider refused: {what} {says}".strip(),
        "Paused for safety: your provider refused a change. Nothing is broken; we look into it.",
    )


def not_sent(name: str, says: str) -> Words:
    return Words(
        f"A change for {name} was not applied; it is looked at and tried again. {says}".strip(),
        f"We try again to change {name}. Nothing for you to do.",
    )


def rehearsed(says: str) -> Words:
    return Words(f"Would have: {says}", "Rehearsal: nothing is changed.")


# --- one server -----------------------------------------------------------------------------------------


def queued(name: str) -> Words:
    return Words(f"{name} waits for its turn.", f"{name} is in service and waits for its turn.")


def next_waits(name: str, why: str) -> Words:
    return Words(f"{name} is next. {why}", f"{name} is next; we wait until it is safe.")


def begins(name: str) -> Words:
    return Words(
        f"{name} begins to drain: no new connections, open ones finish.",
        f"We are taking {name} out of service. Open connections finish. Nothing for you to do.",
    )


def drain(name: str, balancer: str) -> Words:
    return Words(
        f"Drain {name} on {balancer}.", f"We are taking {name} out of service. Nothing for you to do."
    )


def applying(name: str, balancer: str) -> Words:
    return Words(
        f"{balancer} is applying a change for {name}.",
        f"The change for {name} is being applied at your provider.",
    )


def going_down(name: str, connections: int, grade: str) -> Words:
    return Words(
        f"{name} is going down: {count_of(connections)} open ({grade}).",
        f"We are taking {name} out of service. {count_of(connections)} "
        f"{'is' if connections == 1 else 'are'} finishing. Nothing for you to do.",
    )


def no_progress(name: str, connections: int, since_s: float) -> Words:
    return Words(
        f"{name}: no progress for {seconds(since_s)}, {count_of(connections)} open.",
        f"{name} still has {count_of(connections)} open; we wait for them to finish.",
    )


def drain_minimum(name: str, left_s: float) -> Words:
    return Words(
        f"{name}: waiting the shortest drain time, {seconds(left_s)} more.",
        f"We are taking {name} out of service and give connections time to finish.",
    )


def counting_zeros(name: str, zeros: int, needed: int) -> Words:
    return Words(
        f"{name} has no open connection in {zeros} of {needed} looks running.",
        f"{name} has no open connections any more; we look again to be sure.",
    )


def not_counted_yet(name: str) -> Words:
    return Words(
        f"{name} drains; its open connections are counted at the next look.",
        f"We are taking {name} out of service. Open connections finish. Nothing for you to do.",
    )


def drain_unknown(name: str, problem: str, limit_s: float, beside: str = "") -> Words:
    """`beside`: a sentence of what else is known, or ""."""
    return Words(
        f"{name}: how many connections are open is not known ({problem}). The drain limit is in {seconds(limit_s)}.{beside and f' {beside}'}",
        f"We are taking {name} out of service. We wait at most {seconds(limit_s)}, "
        "since nothing tells us how many connections are open.",
    )


def drained(name: str, evidence: str, *, is_counted: bool) -> Words:
    """`is_counted`: connections were counted, and none is open. Nothing else may be called empty."""
    if is_counted:
        return Words(f"{name} is drained: {evidence}.", f"{name} has no open connections any more.")
    return Words(
        f"{name} goes on to its removal: {evidence}.",
        f"The time for open connections of {name} to finish is over. Some may still be open, and are then cut once.",
    )


def limit_reached(
    name: str, open_now: int | None, limit_s: float, patience_s: float, beside: str = ""
) -> Words:
    what = "how many connections are open is not known" if open_now is None else f"{count_of(open_now)} open"
    return Words(
        f"{name} was not removed: {what} after {seconds(limit_s)} of draining.{beside and f' {beside}'} Wait longer, put it back, or go on "
        f"and cut them. Without an answer it is put back in {seconds(patience_s)}.",
        f"Paused for safety: {name} still finishes its connections. Nothing is cut unless a person says so.",
    )


def silence(name: str) -> Words:
    return Words(
        f"Nobody answered in time: {name} is put back into the pool.",
        f"{name} goes back into service until someone decides.",
    )


def limit_put_back(name: str) -> Words:
    return Words(
        f"{name} reached its drain limit and is put back, as the plan says.",
        f"{name} still finishes connections and stays in service, as agreed.",
    )


def remove(name: str, balancer: str) -> Words:
    return Words(f"Remove {name} from {balancer}.", f"{name} is being taken out of service.")


def leaving(name: str) -> Words:
    return Words(f"{name} leaves the pool.", f"{name} leaves service.")


def left_pool(name: str, soak_s: float) -> Words:
    return Words(
        f"{name} has left the pool; watching traffic without it for {seconds(soak_s)}.",
        f"{name} is out of service. We watch for {seconds(soak_s)} whether your site keeps up. It can still come back.",
    )


def watching(name: str, probes_ok: int, probes_failed: int, left_s: float) -> Words:
    return Words(
        f"Watching without {name}: {probes_ok} probe{'' if probes_ok == 1 else 's'} good, {probes_failed} failed; "
        f"{seconds(left_s)} left.",
        f"We watch whether your site keeps up without {name}: {seconds(left_s)} left. It can still come back.",
    )


def watching_before(answers: int) -> Words:
    """Before the first server: how the site answers now is what later answers are held against."""
    return Words(
        f"Watching how the site answers before the first server goes out ({answers} "
        f"{'answer' if answers == 1 else 'answers'} so far).",
        "We look at how your site answers now, before anything changes.",
    )


def not_enough_traffic(name: str, why: str) -> Words:
    """Nothing is wrong; there is too little traffic to show it."""
    return Words(
        f"{name} stays out of the pool, alive. {why}",
        f"There is not enough traffic yet to tell. {name} is kept, and nothing is deleted.",
    )


def too_few_for_the_peak(name: str, why: str) -> Words:
    """The pool is well now, but not at the next peak with the servers that serve."""
    return Words(
        f"{name} is out of the pool, alive, and not deleted. {why}",
        f"Paused for safety: with the servers that are left your next peak would be too much. {name} is kept.",
    )


def inconclusive(name: str, why: str) -> Words:
    return Words(
        f"Not enough to tell without {name}: {why} Watching longer.", "We need to watch a little longer."
    )


def needed_but_deleted(name: str, why: str) -> Words:
    return Words(
        f"Traffic does not keep up without {name}. {why} It cannot be put back: the provider accepted its deletion. "
        "Nothing more is taken out.",
        f"Paused for safety: your site does not keep up without {name}, which can no longer come back. "
        "Nothing more is taken out; we look at it now.",
    )


def inconclusive_halt(name: str, why: str) -> Words:
    return Words(
        f"Whether traffic keeps up without {name} cannot be told. {why} {name} is alive and can be put back.",
        f"Paused for safety: we cannot tell yet whether your site keeps up. {name} was not deleted.",
    )


def not_keeping_up(name: str, why: str) -> Words:
    return Words(
        f"Traffic does not keep up without {name}. {why} It is being put back; it was not deleted.",
        f"Paused for safety: your site needs {name}. We are putting it back into service; it was not deleted.",
    )


def others_first(name: str) -> Words:
    return Words(
        f"{name} is next. It begins once the workers keep up with the servers that are on their way already.",
        f"{name} is next. We begin as soon as we can watch it closely.",
    )


def held(name: str, until: datetime | None) -> Words:
    if until is None:
        return Words(
            f"The pool without {name} is verified. It is alive until the last look before its deletion.",
            f"Your site keeps up without {name}. It is looked at once more before it is deleted.",
        )
    return Words(
        f"{name} is held until {clock(until)}: out of the pool, alive, can be put back.",
        f"{name} is out of service and kept until {clock(until)}. It can still come back.",
    )


def hold_over(name: str) -> Words:
    return Words(
        f"The hold of {name} is over: it is looked at once more and deleted when its turn comes. "
        "Until then it can be put back.",
        f"{name} is out of service and waits for one more look before it is deleted. It can still come back.",
    )


def verified(name: str, says: str) -> Words:
    return Words(f"Without {name}: {says}", f"Your site keeps up without {name}.")


def last_look(name: str, why: str) -> Words:
    return Words(
        f"Last look before {name} is deleted. {why}".strip(), f"A last check before {name} is deleted."
    )


def delete(name: str) -> Words:
    return Words(f"Delete {name}.", f"{name} is being deleted.")


def delete_accepted(name: str) -> Words:
    return Words(
        f"The provider accepted the deletion of {name}.", f"{name} is being deleted at your provider."
    )


def deleting(name: str, since_s: float, task: str | None) -> Words:
    return Words(
        f"{name} has been on its way to deletion for {seconds(since_s)} ({task or 'not started yet'}).",
        f"{name} is being deleted at your provider.",
    )


def delete_again(name: str) -> Words:
    return Words(
        f"The deletion of {name} had no effect; it is looked at again and asked for again.",
        f"{name} is being deleted at your provider.",
    )


def delete_failed(name: str) -> Words:
    return Words(
        f"{name} is still there after several accepted deletions. It is out of the pool; it is billed until it is gone.",
        f"Paused for safety: your provider has not deleted {name}. Your site is not affected.",
    )


def gone_unproven(name: str) -> Words:
    return Words(
        f"{name} is not found any more. It counts as deleted once a complete list of all servers does not hold it either.",
        f"{name} is being deleted at your provider.",
    )


def there_again(name: str) -> Words:
    return Words(
        f"{name} was gone and is there again. It is out of the pool. A resume has it deleted anew, after a fresh last look.",
        "Paused for safety: a deleted server is there again. Your site is not affected.",
    )


def may_live_on(name: str) -> Words:
    return Words(
        f"{name} was to be deleted, and until the end no look showed that it was: it may live on, out of the pool and billed. "
        "Delete it, or add it to its load balancers, by hand.",
        f"{name} was to be deleted, and may still be there outside your pool. We look after it by hand.",
    )


def delete_slow(name: str, since_s: float) -> Words:
    return Words(
        f"The provider has been deleting {name} for {seconds(since_s)}. It may still be billed.",
        f"Paused: your provider takes long to delete {name}. Your site is not affected.",
    )


def delete_forbidden(name: str, why: str, *, can_come_back: bool, from_at: datetime | None = None) -> Words:
    """`from_at`: until then a change that did not show may still take effect, and keeps it out of a calm pool."""
    back = (
        _comes_back(from_at)
        if can_come_back
        else "can no longer be put back, since its deletion was accepted"
    )
    return Words(
        f"{name} is not deleted. {why} It is out of the pool and {back}.",
        f"Paused for safety: {name} is not deleted, since something about it changed. Your site is not affected.",
    )


def _comes_back(from_at: datetime | None) -> str:
    if from_at is None:
        return "can be put back"
    return f"can be put back from {from_at:%H:%M:%S} UTC on, when what did not show can no longer take effect"


def confirming(name: str) -> Words:
    return Words(
        f"{name} is gone at the provider; looking once at nodes and probes.",
        f"{name} is deleted; a last check.",
    )


# --- rolling back ---------------------------------------------------------------------------------------


def recreating(name: str) -> Words:
    return Words(f"{name} is to be created anew from its image.", f"We build {name} anew from its copy.")


def create_server(name: str, image: str) -> Words:
    return Words(f"Create {name} anew from the image {image}.", f"We build {name} anew from its copy.")


def create_may_land(name: str, until: datetime) -> Words:
    return Words(
        f"A request to create {name} did not show, but may still take effect until {clock(until)}. "
        "No other one is sent before that: it would be a server too many.",
        f"We wait until it is certain whether {name} is being built.",
    )


def made_found(name: str, server_id: str) -> Words:
    return Words(
        f"The new server {server_id} for {name} was found by its metadata.", f"{name} is being built anew."
    )


def building(name: str, server_id: str) -> Words:
    return Words(
        f"{name} is being built anew as server {server_id}.",
        f"{name} is being built anew. Nothing for you to do.",
    )


def joining(name: str) -> Words:
    return Words(
        f"{name} runs anew. It is in the pool without new connections until it answers itself.",
        f"{name} runs again. It serves as soon as a check of it is good.",
    )


def add_anew(name: str, balancer: str) -> Words:
    return Words(
        f"Add the new {name} to {balancer}, draining.",
        f"{name} is added to your load balancer, not serving yet.",
    )


def enable_anew(name: str, balancer: str) -> Words:
    return Words(f"Let the new {name} serve on {balancer}.", f"{name} serves again.")


def recreated(name: str, server_id: str) -> Words:
    return Words(
        f"{name} is back as a new server ({server_id}): other id, other addresses.",
        f"{name} is back in service, as a new server with other addresses.",
    )


def not_recreated(name: str, why: str, server_id: str, *, may_come: bool = False) -> Words:
    left = f" The new server {server_id} is left at the provider: look at it by hand." if server_id else ""
    if may_come:
        left = " A new server was asked for and may have been made: look for it at the provider by hand."
    return Words(
        f"{name} was not created anew. {why}{left}", f"{name} was not built anew. We look at it by hand."
    )


def cannot_recreate(name: str, why: str) -> Words:
    return Words(
        f"{name} is not created anew. {why}",
        f"Paused for safety: {name} could not be built anew. We look into it.",
    )


def rolled_back(
    back: int,
    anew: int,
    deleted: str,
    gone: str,
    may_live: str = "",
    left_out: str = "",
    left_new: str = "",
) -> Words:
    parts = [f"{servers_of(back)} put back"] if back or not anew else []
    if anew:
        parts.append(f"{servers_of(anew)} created anew")
    done = ", ".join(parts)
    stays = f" Deleted for good: {deleted}." if deleted else ""
    stays += f" Gone by another hand: {gone}." if gone else ""
    lost = ", ".join(names for names in (deleted, gone) if names)
    not_back = f" What could not be brought back: {lost}." if lost else ""
    left, out, new = what_may_live(may_live), not_put_back(left_out), made_in_vain(left_new)
    return Words(
        f"Rolled back: {done}.{stays}{out.says}{new.says}{left.says}",
        f"Undone: {done}.{not_back}{out.customer_says}{new.customer_says}{left.customer_says}",
    )


# --- stopping before the deletion --------------------------------------------------------------------------


def stop(name: str) -> Words:
    return Words(f"Stop {name}.", f"We switch {name} off before it is deleted.")


def stopping(name: str) -> Words:
    return Words(f"{name} is being stopped.", f"{name} is being switched off. Nothing for you to do.")


def stop_waits(name: str, why: str) -> Words:
    return Words(f"{name} is not stopped yet. {why}", f"{name} is switched off as soon as that is safe.")


def stopped(name: str, until: datetime | None) -> Words:
    when = "" if until is None else f" until {clock(until)}"
    return Words(
        f"{name} is stopped{when}, then it is deleted. Whoever needs it misses it now; it can be started and put back.",
        f"{name} is switched off{when}, then it is deleted. Tell us if anything misses it: it can be switched on again.",
    )


def still_serves(name: str, why: str) -> Words:
    return Words(
        f"{name} is not stopped or deleted. {why} Accept it by its name, with a reason, or put it back.",
        f"Paused for safety: {name} may still be in use. It stays on until a person has decided.",
    )


def stop_forbidden(name: str, why: str, from_at: datetime | None = None) -> Words:
    return Words(
        f"{name} is not stopped, and so not deleted. {why} It is out of the pool and {_comes_back(from_at)}.",
        f"Paused for safety: {name} is not switched off. Your site is not affected.",
    )


def start(name: str) -> Words:
    return Words(f"Start {name}.", f"We switch {name} on again.")


def starting(name: str) -> Words:
    return Words(
        f"{name} is being started; it goes back into the pool once it answers.",
        f"{name} is being switched on and goes back into service.",
    )


def started_in_vain(name: str, waited_s: float) -> Words:
    return Words(
        f"{name} was started and runs for {waited_s:.0f} s, but answers nothing. It stays out of the pool until it does: "
        "look at it by hand.",
        f"Paused for safety: {name} was switched on and does not answer yet. We look into it.",
    )


# --- images ---------------------------------------------------------------------------------------------


def imaging_begins(name: str) -> Words:
    return Words(
        f"{name} gets an image before it is deleted.", f"We make a copy of {name} before it is deleted."
    )


def create_image(name: str) -> Words:
    return Words(f"Make an image of {name}.", f"We make a copy of {name} before it is deleted.")


def image_waits(name: str, why: str) -> Words:
    return Words(
        f"The image of {name} is not made yet. {why}".strip(), f"We make a copy of {name} in a moment."
    )


def image_looked_for(name: str) -> Words:
    return Words(
        f"The image of {name} was accepted; it is looked for by its metadata.",
        f"A copy of {name} is being made. Nothing for you to do.",
    )


def image_found(name: str, image: str) -> Words:
    return Words(
        f"The image {image} of {name} was found by its metadata.", f"A copy of {name} is being made."
    )


def image_gone(name: str, image: str) -> Words:
    return Words(
        f"The image {image} of {name} is gone at the provider: no server can be created from it any more.",
        f"The copy of {name} is no longer there.",
    )


def image_unknown(name: str) -> Words:
    return Words(
        f"An image of {name} was asked for, the answer was lost, and the list of all images could not be read since: one may be "
        "there that this run does not know. Look for the run's mark in the metadata at the provider.",
        f"It is not known whether a copy of {name} was made. We look into it.",
    )


def image_saving(name: str, of_server: str, since_s: float, progress: int | None) -> Words:
    share = "" if progress is None else f", {progress} %"
    whose = f"the image of {of_server}, one of its kind," if of_server != name else "its image"
    return Words(
        f"{name} waits until {whose} is ready: saving for {seconds(since_s)}{share}.",
        f"A copy of {name} is being made{share}. It is not deleted before that is ready.",
    )


def image_ready(name: str, keep_until: datetime, *, of_stopped: bool) -> Words:
    kind = (
        "taken while it was stopped" if of_stopped else "taken while it ran: crash-consistent, not a backup"
    )
    return Words(
        f"The image of {name} is ready ({kind}). Delete it on {keep_until:%d %b %Y}: the portal does not by itself.",
        f"A copy of {name} is ready. It is kept until {keep_until:%d %B %Y} at least. It is no backup.",
    )


def image_stands(status: str, *, of_stopped: bool, is_over: bool) -> Words:
    """What an image is good for, where images are listed."""
    if status == "ACTIVE":
        kind = "Taken while the server was stopped." if of_stopped else "Crash-consistent, not a backup."
        return Words(kind, "The server as it was at that moment, not a backup.")
    if status == "SAVING" and is_over:
        return Words(
            "Was still being saved when the run ended: look at the provider.",
            "Was still being made at the end.",
        )
    if status == "SAVING":
        return Words("Being saved.", "Being made.")
    if status == "DELETED":
        return Words("Gone at the provider.", "No longer there.")
    return Words("Failed: nothing can be created from it.", "Could not be made.")


def image_failed(name: str, why: str) -> Words:
    return Words(
        f"{name} is not deleted: no image of it was made. {why} It is out of the pool and can be put back; "
        "resume to ask for an image again.",
        f"Paused for safety: no copy of {name} could be made, so it is not deleted. Your site is not affected.",
    )


def retired(name: str) -> Words:
    return Words(f"{name} is retired.", f"{name} is out of service and deleted. All is well.")


def gone(name: str) -> Words:
    return Words(
        f"{name} vanished by another hand: twice not found, and in no list. Its nodes are left as they are.",
        f"{name} no longer exists; it was not deleted by us.",
    )


def delete_landed_late(name: str, *, was_back: bool) -> Words:
    where = " It was back in the pool: its node is taken out." if was_back else ""
    return Words(
        f"The deletion of {name}, whose answer was lost, took effect late: this run deleted it.{where}",
        f"{name} is being deleted, as agreed; your provider carried it out late.",
    )


def left_out(name: str) -> Words:
    return Words(
        f"{name} cannot be put back: it does not serve at its address as it did. It is not deleted, and paid for: "
        "look at it by hand.",
        f"{name} could not be put back into service. It is not deleted. We look at it by hand.",
    )


def node_left(name: str, balancers: str, *, lives: bool = False) -> Words:
    if lives:
        return Words(
            f"{name} could not be put back, and its node is still in {balancers}. Mend the server, or take the node out by hand.",
            f"{name} is still listed in your load balancer. We look at it by hand.",
        )
    return Words(
        f"{name} is gone, but its node is still in {balancers}. Take it out by hand.",
        f"{name} is gone. We tidy up your load balancer.",
    )


def missing(name: str) -> Words:
    return Words(
        f"The provider does not find {name}. Looking again before it counts as gone.",
        f"We cannot see {name} for a moment and look again.",
    )


def skipped(name: str, why: str) -> Words:
    return Words(f"{name} is left in the pool: {why}", f"{name} stays in service.")


def putting_back(name: str, why: str) -> Words:
    says = why if "put back" in why else f"{name} is being put back. {why}"
    return Words(says, f"{name} is going back into service.")


def back_nowhere(name: str, balancers: str) -> Words:
    return Words(
        f"{name} runs and is in no pool: load balancer {balancers} no longer exists.",
        f"{name} runs, but the load balancer it served behind is gone.",
    )


def back(name: str) -> Words:
    return Words(f"{name} is back in the pool.", f"{name} is back in service.")


def put_back_waits(name: str, task: str) -> Words:
    what = "being deleted at the provider" if task == "deleting" else f"busy at the provider ({task})"
    return Words(
        f"{name} is to go back and is {what}. It is sent nobody before that is over.",
        f"{name} goes back into service once it is certain that it can serve.",
    )


def cannot_put_back(name: str, why: str) -> Words:
    return Words(
        f"{name} could not be put back yet. {why} It is tried again.",
        f"Paused for safety: {name} could not be put back into service yet. We are on it.",
    )


# --- safety ---------------------------------------------------------------------------------------------


def rising(why: str, names: str) -> Words:
    if names:
        return Words(
            f"Traffic is rising. {why} Put back by itself: {names}.",
            f"Paused for safety: your site needs more servers. We are putting back {names}.",
        )
    return Words(
        f"Traffic is rising. {why} There is nothing to put back: no server of this run is out and alive.",
        "Paused for safety: your site carries more than expected. We look at it now.",
    )


def worse_by_now(halted: str, why: str) -> Words:
    return Words(
        f"The site is in danger by now. {why} Before: {halted}",
        "Paused for safety: your site is not well by now. We look at it now.",
    )


def fallen_in_watch(fallen: Words, names: str) -> Words:
    if names:
        return Words(
            f"Traffic does not keep up at the new size. {fallen.says} Put back by itself: {names}.",
            f"Paused for safety: {fallen.customer_says} We are putting back {names}.",
        )
    return Words(
        f"Traffic may not keep up at the new size. {fallen.says} There is nothing to put back: no server of this run is out "
        "and alive.",
        f"Paused for safety: {fallen.customer_says} We look at it now.",
    )


def floor_broken(balancer: str, count: int, floor: int, names: str) -> Words:
    if names:
        return Words(
            f"Only {servers_of(count)} {'serves' if count == 1 else 'serve'} on {balancer}; the floor is {floor}. Put back by itself: {names}.",
            f"Paused for safety: fewer servers than agreed were in service. We are putting back {names}.",
        )
    return Words(
        f"Only {servers_of(count)} {'serves' if count == 1 else 'serve'} on {balancer}; the floor is {floor}. This run has nothing to put back.",
        "Paused for safety: fewer servers than agreed are in service. We look at it now.",
    )


def foreign_change(what: str) -> Words:
    return Words(f"Not by this run: {what}", "Someone changed your servers meanwhile.")


def other_hand(what: str) -> Words:
    return Words(
        f"Another hand changed the pool: {what} Say of each of these servers whether this run may still delete it, "
        "then resume with the pool as it is now; or abort.",
        "Paused for safety: someone changed your servers meanwhile. We find out what is right.",
    )


def accepted(name: str, by: str, what: str, reason: str, *, still_serves: bool) -> Words:
    if still_serves:
        return Words(
            f"{by} lets {name} be cut off and deleted although somebody may use it: {reason} What was seen: {what}",
            f"{name} may still be in use; it was decided to go on with it all the same.",
        )
    return Words(
        f"{by} lets this run go on with {name} as it is now: {reason} Another hand had changed it: {what}",
        f"{name} was changed by someone; we have checked it and go on with it.",
    )


def protected(names: str) -> Words:
    return Words(
        f"Protected meanwhile: {names}. What was in the queue stays in the pool, what was out is put back.",
        f"Paused: {names} is protected now. Nothing of it is deleted: it stays in service, or goes back.",
    )
