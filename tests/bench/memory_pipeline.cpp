// SPDX-License-Identifier: MIT
// memory.pipeline: what three stages cost a message that is handled well; no store, no broker.

#include <omnibus/omnibus.hpp>

#include "bench.hpp"
#include "stage_context.hpp"

namespace ob = omnibus;

int main() {
  constexpr std::size_t messages = 20'000'000;
  bench::NoContext context;
  std::size_t handled = 0;
  const auto handler = [&handled](const ob::Delivery& delivery) { handled += delivery.attempt(); };
  const auto pass = [](ob::Next next, ob::Delivery& delivery) { return next(delivery); };
  auto pipeline = ob::detail::compose(handler | ob::retry() | ob::dead_letter("dead") | pass);
  const std::string payload(256, 'x');
  const ob::MessageView message{"id", "", "key", {}, payload, {}, {}};
  const ob::Incoming incoming{&message, "orders", 0, {}, 0, 0};
  const double ns = bench::median_of_five([&] {
    const bench::Stopwatch watch;
    for (std::size_t i = 0; i < messages; ++i) {
      ob::Delivery delivery{incoming, context};
      if (!pipeline(delivery)) return 0.0;
    }
    return watch.seconds() / messages * 1e9;
  });
  bench::print("memory.pipeline", {{"ns", ns}, {"handled", static_cast<double>(handled)}});
}
