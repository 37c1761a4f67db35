// SPDX-License-Identifier: MIT
#include <omnibus/mermaid.hpp>

#include <string>
#include <vector>

#include "catch.hpp"

using namespace omnibus;
using namespace std::chrono_literals;
using Kind = Transition::Kind;

namespace {

Transition step(Kind kind, std::string why = {}, Errc code = Errc::handler_failed) {
  Transition all;
  all.kind = kind;
  all.topic = "orders";
  if (kind != Kind::published && kind != Kind::not_published) all.group = "billing";
  all.attempt = 1;
  all.dead_letter_topic = "orders.dlq";
  all.code = code;
  all.why = std::move(why);
  all.again_after = 100ms;
  return all;
}

std::string escaped(std::string_view text) {
  std::string out;
  detail::append_mermaid_text(out, text);
  return out;
}

const std::string three =
    "sequenceDiagram\n"
    "    participant p1 as producer\n"
    "    participant p2 as topic orders\n"
    "    participant p3 as group billing\n";

/// The diagram of a publish, a delivery and what follows it.
std::string after_delivery(Transition last) {
  return mermaid_of({step(Kind::published), step(Kind::delivered), std::move(last)});
}
const std::string delivered =
    three + "    p1->>p2: publish\n"
            "    p2->>p3: attempt 1\n";

}  // namespace

TEST_CASE("a diagram shows who takes part, in the order of appearance, and what happened") {
  CHECK(after_delivery(step(Kind::handled)) == delivered + "    p3-->>p2: handled\n");
  CHECK(after_delivery(step(Kind::dropped)) == delivered + "    p3-->>p2: dropped by a stage\n");
  CHECK(after_delivery(step(Kind::duplicate)) ==
        delivered + "    p3-->>p2: duplicate, not handled again\n");
  CHECK(after_delivery(step(Kind::given_back)) == delivered + "    p3-->>p2: given back unhandled\n");
  CHECK(after_delivery(step(Kind::retrying, "busy")) ==
        delivered + "    p3--xp2: attempt 1 (handler_failed), again in 100 ms, busy\n");
  CHECK(after_delivery(step(Kind::out_of_sequence, "2 are missing")) ==
        delivered + "    Note over p3: out of sequence, 2 are missing\n");
}

TEST_CASE("a dead letter goes to a topic of its own") {
  CHECK(after_delivery(step(Kind::dead_lettered, "declined")) ==
        three +
            "    participant p4 as topic orders.dlq\n"
            "    p1->>p2: publish\n"
            "    p2->>p3: attempt 1\n"
            "    p3->>p4: dead letter (handler_failed), declined\n");
}

TEST_CASE("a publish that failed says so, and one whose ending is unknown too") {
  const std::string two =
      "sequenceDiagram\n"
      "    participant p1 as producer\n"
      "    participant p2 as topic orders\n";
  CHECK(mermaid_of({step(Kind::not_published, "no queue", Errc::unroutable)}) ==
        two + "    p1-xp2: publish (unroutable), no queue\n");
  CHECK(mermaid_of({step(Kind::not_published, "", Errc::outcome_unknown)}) ==
        two + "    p1-xp2: publish, ending unknown\n");
}

TEST_CASE("a topic and a group of one name are two, and a reader has no group") {
  Transition delivery = step(Kind::delivered);
  delivery.group = "orders";
  Transition reader = step(Kind::delivered);
  reader.group.clear();
  CHECK(mermaid_of({delivery, reader}) ==
        "sequenceDiagram\n"
        "    participant p1 as topic orders\n"
        "    participant p2 as group orders\n"
        "    participant p3 as reader\n"
        "    p1->>p2: attempt 1\n"
        "    p1->>p3: attempt 1\n");
}

TEST_CASE("a publish that was told late stands before the delivery") {
  CHECK(mermaid_of({step(Kind::delivered), step(Kind::handled), step(Kind::published)}) ==
        delivered + "    p3-->>p2: handled\n");
  // A second one did not come before: it stays where it was told.
  CHECK(mermaid_of({step(Kind::published), step(Kind::delivered), step(Kind::published)}) ==
        delivered + "    p1->>p2: publish\n");
}

TEST_CASE("nothing makes no diagram") { CHECK(mermaid_of({}).empty()); }

TEST_CASE("what Mermaid would misread is written as codes") {
  CHECK(escaped("declined (card 17), it's over.") == "declined (card 17), it's over.");
  CHECK(escaped("a;b#c") == "a#59;b#35;c");
  CHECK(escaped("a\nb\r\tc") == "a b  c");
  CHECK(escaped("x:y \"%%{init}%%\" <b>&") ==
        "x#58;y #34;#37;#37;#123;init#125;#37;#37;#34; #60;b#62;#38;");
  CHECK(escaped("gr\xc3\xbc\xc3\x9f") == "gr\xc3\xbc\xc3\x9f");

  CHECK(after_delivery(step(Kind::retrying, "a;\nend\nb#c")) ==
        delivered + "    p3--xp2: attempt 1 (handler_failed), again in 100 ms, a#59; end b#35;c\n");
  Transition odd = step(Kind::delivered);
  odd.topic = "a;b\nparticipant x";
  CHECK(mermaid_of({odd}).find("as topic a#59;b participant x\n") != std::string::npos);
}

TEST_CASE("delays are told roughly") {
  CHECK(detail::rough_text(0ns) == "0 us");
  CHECK(detail::rough_text(999us) == "999 us");
  CHECK(detail::rough_text(1ms) == "1 ms");
  CHECK(detail::rough_text(1500ms) == "1500 ms");
  CHECK(detail::rough_text(90s) == "90 s");
}
