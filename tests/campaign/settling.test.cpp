// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "story.hpp"

using namespace campaign;

namespace {

/// The group commits all below this position of partition 0.
void commit(Story& story, std::uint64_t below, std::uint64_t minor = 0) {
  story.by("campaign").add(
      {.kind = Kind::commit, .topic = "orders", .group = "billing", .major = below, .minor = minor});
}

}  // namespace

TEST_CASE("P8 flags a commit above what is not done with") {
  Story story;
  story.sent("a0").sent("b0");
  SECTION("of one in flight") {
    story.deliver("a0", {.major = 1}).handled("b0", {.major = 2});
    commit(story, 3);
    story.effect("a0");
  }
  SECTION("of one that has failed") {
    story.deliver("a0", {.major = 1}).finish("a0", Outcome::failed).handled("b0", {.major = 2});
    commit(story, 3);
    story.handled("a0", {.attempt = 2, .major = 1});
  }
  SECTION("by the second half of a position") {
    story.handled("b0", {.major = 1, .minor = 1}).deliver("a0", {.major = 1, .minor = 2});
    commit(story, 1, 3);
    story.effect("a0");
  }
  const Report report = story.report();
  CHECK(violated(report) == Violated{Property::commit});
  CHECK(report[Property::commit].violations == 1);
}

TEST_CASE("P8 passes") {
  Story story;
  story.sent("a0").sent("b0");
  SECTION("a commit below what is in flight") {
    story.handled("a0", {.major = 1}).deliver("b0", {.major = 2});
    commit(story, 2);
    story.effect("b0");
  }
  SECTION("what ended out of order") {
    story.deliver("a0", {.major = 1}).handled("b0", {.major = 2}).effect("a0");
    commit(story, 3);
  }
  SECTION("dead letters and what was dropped") {
    story.buried("a0").deliver("b0", {.major = 2}).settle("b0", Outcome::dropped);
    commit(story, 3);
  }
  SECTION("what another process has ended") {
    story.deliver("a0", {.major = 1});
    story.consumer = 2;
    story.handled("a0", {.attempt = 2, .major = 1}).handled("b0", {.major = 2});
    commit(story, 3);
  }
  SECTION("another partition") {
    story.deliver("a0", {.partition = 1, .major = 1}).handled("b0", {.major = 2});
    commit(story, 3);
    story.effect("a0");
  }
  CHECK(holds(story, Property::commit));
}

TEST_CASE("P9 flags what is settled before it is done with") {
  Story story;
  story.sent("a0").deliver("a0");
  SECTION("before its effect") { story.settle("a0", Outcome::ok).effect("a0"); }
  SECTION("as buried before its dead letter") {
    story.finish("a0", Outcome::permanent).settle("a0", Outcome::buried).say(Kind::dead_letter, "a0");
  }
  SECTION("as buried, with an effect alone") { story.effect("a0").settle("a0", Outcome::buried); }
  SECTION("as a duplicate of what nobody has done yet") {
    story.settle("a0", Outcome::duplicate).effect("a0");
  }
  CHECK(violated(story) == Violated{Property::settled_early});
}

TEST_CASE("P9 passes") {
  Story story;
  story.sent("a0").deliver("a0");
  SECTION("after the effect") { story.effect("a0").settle("a0", Outcome::ok); }
  SECTION("after the dead letter") {
    story.finish("a0", Outcome::permanent).say(Kind::dead_letter, "a0").settle("a0", Outcome::buried);
  }
  SECTION("a duplicate of what another process has done") {
    story.effect("a0");
    story.consumer = 2;
    story.deliver("a0", {.attempt = 2}).settle("a0", Outcome::duplicate);
  }
  SECTION("given back before any effect") {
    story.settle("a0", Outcome::returned).handled("a0", {.attempt = 2});
  }
  SECTION("dropped") { story.settle("a0", Outcome::dropped); }
  CHECK(holds(story, Property::settled_early));
}

TEST_CASE("P10 flags dead letters that are not exact") {
  Story story;
  story.sent("a0");
  SECTION("an effect after it, without a redrive") { story.buried("a0").handled("a0", {.attempt = 2}); }
  SECTION("one after the effect") {
    story.handled("a0").say(Kind::dead_letter, "a0").settle("a0", Outcome::buried);
  }
  SECTION("one after an effect that is remembered, by whoever comes after a crash") {
    story.deliver("a0").effect("a0");
    story.consumer = 2;
    story.deliver("a0", {.attempt = 2}).finish("a0", Outcome::permanent).say(Kind::dead_letter, "a0");
  }
  SECTION("one that is not there") { story.buried("a0").sent("b0").buried("b0").letter("b0"); }
  SECTION("one that was redriven, and came nowhere") {
    story.buried("a0").by("campaign").say(Kind::redrive, "a0");
  }
  SECTION("one without attempts") {
    story.deliver("a0").finish("a0", Outcome::failed).say(Kind::dead_letter, "a0");
    story.by("campaign").say(Kind::letter, "a0", Outcome::none, {.note = "handler_failed"});
  }
  SECTION("one without an error") {
    story.buried("a0").by("campaign").say(Kind::letter, "a0", Outcome::none, {.attempt = 1});
  }
  SECTION("one that gave up too early") {
    story.deliver("a0").finish("a0", Outcome::failed).say(Kind::dead_letter, "a0");
    story.letter("a0", {.attempt = 2});
  }
  CHECK(violated(story) == Violated{Property::letters});
}

TEST_CASE("P10 flags a letter without attempts also where no limit is known") {
  Story story{"order=strict"};
  story.sent("a0").deliver("a0").finish("a0", Outcome::failed).say(Kind::dead_letter, "a0");
  story.by("campaign").say(Kind::letter, "a0", Outcome::none, {.note = "handler_failed"});
  CHECK(violated(story) == Violated{Property::letters});
}

TEST_CASE("P10 passes") {
  Story story;
  story.sent("a0");
  SECTION("one that was redriven, and processed") {
    story.buried("a0").by("campaign").say(Kind::redrive, "a0").handled("a0");
  }
  SECTION("one that was redriven, and died again") {
    story.buried("a0").by("campaign").say(Kind::redrive, "a0").buried("a0").letter("a0");
  }
  SECTION("one whose writer died before it could settle") {
    story.deliver("a0").finish("a0", Outcome::failed).say(Kind::dead_letter, "a0");
    story.consumer = 2;
    story.handled("a0", {.attempt = 2});
  }
  SECTION("one that was written twice because of a crash") {
    story.deliver("a0").finish("a0", Outcome::permanent).say(Kind::dead_letter, "a0");
    story.consumer = 2;
    story.deliver("a0", {.attempt = 2}).finish("a0", Outcome::permanent);
    story.say(Kind::dead_letter, "a0").settle("a0", Outcome::buried).letter("a0").letter("a0");
  }
  SECTION("one with all attempts") {
    for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
      story.deliver("a0", {.attempt = attempt}).finish("a0", Outcome::failed, {.attempt = attempt});
    }
    story.say(Kind::dead_letter, "a0").letter("a0", {.attempt = 3});
  }
  SECTION("one after one attempt that was hopeless") { story.buried("a0").letter("a0"); }
  SECTION("one that no handler could read") {
    story.by("consumer").say(Kind::dead_letter, "a0").settle("a0", Outcome::buried);
    story.by("campaign").say(Kind::letter, "a0", Outcome::permanent, {.note = "decode_failed"});
  }
  CHECK(holds(story, Property::letters));
}

TEST_CASE("P10 passes parked letters that nobody has tried") {
  Story story{"order=parked attempts=3"};
  story.sent("a0").sent("a1").buried("a0").letter("a0", {.attempt = 3});
  story.by("consumer").say(Kind::dead_letter, "a1").settle("a1", Outcome::buried);
  story.by("campaign").say(Kind::letter, "a1", Outcome::none, {.note = "handler_failed"});
  const Report report = story.report();
  CHECK(violated(report).empty());
  CHECK(report.totals.letters == 2);
}

TEST_CASE("P16 flags attempts beyond what is promised") {
  SECTION("after a permanent error") {
    Story story;
    story.sent("a0").deliver("a0").finish("a0", Outcome::permanent).handled("a0", {.attempt = 2});
    CHECK(violated(story) == Violated{Property::retries});
  }
  SECTION("more than are allowed") {
    Story story{"attempts=2"};
    story.sent("a0").deliver("a0").finish("a0", Outcome::failed);
    story.deliver("a0", {.attempt = 2}).finish("a0", Outcome::failed, {.attempt = 2});
    story.handled("a0", {.attempt = 3});
    CHECK(violated(story) == Violated{Property::retries});
  }
  SECTION("later than is allowed") {
    Story story{"max_age_ms=100"};
    story.sent("a0").deliver("a0").finish("a0", Outcome::failed).wait(60);
    story.deliver("a0", {.attempt = 2}).finish("a0", Outcome::failed, {.attempt = 2}).wait(60);
    story.handled("a0", {.attempt = 3});
    CHECK(violated(story) == Violated{Property::retries});
  }
}

TEST_CASE("P16 passes") {
  Story story{"attempts=2 max_age_ms=100"};
  story.sent("a0").deliver("a0");
  SECTION("as many attempts as are allowed, in time") {
    story.finish("a0", Outcome::failed).wait(90).handled("a0", {.attempt = 2});
  }
  SECTION("another process after a crash, which cannot know") {
    story.finish("a0", Outcome::permanent);
    story.consumer = 2;
    story.handled("a0", {.attempt = 2});
  }
  SECTION("attempts that a broker counts after crashes") {
    story.finish("a0", Outcome::failed);
    story.consumer = 2;
    story.handled("a0", {.attempt = 7});
  }
  SECTION("one that was redriven") {
    story.finish("a0", Outcome::permanent).say(Kind::dead_letter, "a0").settle("a0", Outcome::buried);
    story.by("campaign").say(Kind::redrive, "a0").handled("a0");
  }
  SECTION("one that was redriven, where nobody records how deliveries are settled") {
    story.finish("a0", Outcome::permanent).say(Kind::dead_letter, "a0");
    story.by("campaign").say(Kind::redrive, "a0").deliver("a0").effect("a0");
  }
  CHECK(holds(story, Property::retries));
}
