// SPDX-License-Identifier: MIT
#include "all.hpp"
#include "catch.hpp"
#include "memory_fixture.hpp"
#include "run.hpp"

// The suite on the embedded backend. `conformance_memory -c "<case>"` runs one case, and
// OMNIBUS_SEED=<number> repeats the random choices of a run.

namespace {

using namespace conformance;

/// A backend that admits to little, as Redis Pub/Sub does: shows that the suite holds it to that.
class Modest : public ob::Memory {
 public:
  using ob::Memory::Memory;
  static constexpr ob::Capabilities capabilities{.name = "modest", .ordered_by_key = true};
};

struct ModestFixture {
  using Backend = Modest;
  std::chrono::milliseconds deadline = std::chrono::seconds{20};
  std::size_t scale = 200;
  std::uint64_t seed = 1;
  MemoryFixture names{};

  Backend::Config config(std::string group = "g") const {
    return {.endpoint = names.name(), .group = std::move(group)};
  }
  std::string topic() { return names.topic(); }
};

template <class F, class MakeFixture>
void check(MakeFixture make) {
  static const auto suite = make_suite<F>();
  for (const auto& each : suite.cases()) {
    DYNAMIC_SECTION(each.name) {
      F fixture = make();
      const auto start = Clock::now();
      const auto problem = verdict(each, fixture);
      INFO("OMNIBUS_SEED=" << fixture.seed);
      if (problem) FAIL(*problem);
      CHECK(Clock::now() - start < fixture.deadline / 2);  // nothing ends well by a timeout
    }
  }
}

TEST_CASE("the embedded backend keeps the contracts") {
  check<MemoryFixture>([] { return MemoryFixture{.seed = run_seed()}; });
}

TEST_CASE("a backend that can do little is held to that") {
  check<ModestFixture>([] { return ModestFixture{.seed = run_seed()}; });
}

TEST_CASE("what a backend cannot do is left out, never silently") {
  print_left_out(make_suite<MemoryFixture>(), "memory");
  CHECK(make_suite<MemoryFixture>().left_out().empty());
  const auto modest = make_suite<ModestFixture>();
  print_left_out(modest, "modest");
  CHECK(modest.left_out().size() + modest.cases().size() ==
        make_suite<MemoryFixture>().cases().size());
}

}  // namespace
