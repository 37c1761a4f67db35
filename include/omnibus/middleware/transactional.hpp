// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string_view>
#include <tuple>
#include <utility>

#include <omnibus/message_batch.hpp>
#include <omnibus/pipeline.hpp>

// Consume, process, produce, as one: what a handler publishes and that its message is done are one transaction of
// the broker.

namespace omnibus {

/// The stage that `transactional` makes.
class TransactionalStage {
 public:
  static constexpr Rank rank = Rank::output;

  Result<> operator()(Next next, Delivery& delivery) const {
    delivery.set_outputs(std::make_shared<MessageBatch>());
    Result<> result = detail::guarded([&] { return next(delivery); });
    if (result) result = delivery.context().prepare(*delivery.outputs());
    if (!result || delivery.outputs()->empty()) delivery.set_outputs(nullptr);
    return result;
  }
};

/// Makes one transaction of what the handler gives to `publish_with` and of its message being done: both happen, or
/// neither does. Stands directly behind the handler: handler | transactional | retry | dead_letter.
///
///     const auto ship = [](const OrderPlaced& order, const ob::Delivery& delivery) {
///       return ob::publish_with(delivery, "shipments", Shipment{order.id});
///     };
///     auto shipping = bus.subscribe("orders", ship | ob::transactional() | ob::retry());
///
/// Delivery: each message has its outputs exactly once, through failures of the handler, crashes, rebalances and
/// members that come back after they were given up, for those who read committed messages alone. Subscriptions of
/// omnibus do; a Kafka client with isolation.level=read_uncommitted also sees what was published in vain.
/// What it does not promise: the handler itself may run more than once, and so may everything else it does: what it
/// writes elsewhere, what it publishes by `EventBus::publish`, and dead letters, which come at least once. Topics of
/// another cluster are not part of it. Attempts that failed, and dead-lettered messages, have no outputs.
/// Order: outputs follow the order of the messages in their partition, so that those of a message wait until all
/// before it are done. They are seen once they are committed, about a tenth of a second later under load.
/// Does not go with idempotent(), `relaxed` order or a reader without a group. On a backend without transactions it
/// does not compile. An output that the broker refuses for good, as too large or not permitted, cannot be left out:
/// its partition waits, and `health` says why.
inline Chain<TransactionalStage> transactional() { return {std::tuple{TransactionalStage{}}}; }

/// For handlers behind transactional(): publishes an event, which is any type with a Codec, a Message or a
/// MessageView, in the transaction that ends the delivery. The event is copied; nothing is sent before the handler
/// has ended well, and nothing of an attempt that failed. Return what it returns, or check it.
/// Errors: encode_failed and invalid_argument: nothing is published with this call; unsupported, where no
/// transactional() runs the handler. What is larger than the bus's limits fails the handler when it returns.
template <class E>
[[nodiscard("check the Result or call .value()")]] Result<> publish_with(const Delivery& delivery,
                                                                         std::string_view topic, const E& event,
                                                                         const MessageOptions& options = {}) {
  detail::check_event<E>();
  MessageBatch* const outputs = delivery.outputs();
  if (outputs == nullptr) {
    return Error::make(Errc::unsupported, "publish with a delivery",
                       "the handler is not behind transactional(): write handler | omnibus::transactional()");
  }
  return outputs->add(topic, event, options);
}

}  // namespace omnibus
