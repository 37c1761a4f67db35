// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <omnibus/backends/rabbitmq/amqp.hpp>
#include <omnibus/backends/rabbitmq/topology.hpp>
#include <omnibus/detail/unique_function.hpp>

// Methods that the broker answers, on a channel of their own, sent without waiting: what goes wrong
// there closes that channel alone.

namespace omnibus::rabbitmq {

/// What the broker says of a queue.
struct QueueCounts {
  std::uint32_t messages = 0;
  std::uint32_t consumers = 0;
};

/// Questions on one channel and their answers, which come in the order of the questions.
/// Thread safety: one thread at a time.
class Calls {
 public:
  /// Gets a problem, or nullptr and what a declared queue was like.
  using Answer = omnibus::detail::UniqueFunction<void(const Error* problem, QueueCounts counts)>;

  explicit Calls(std::uint16_t channel) : channel_{channel} {}

  /// Opens the channel; forgets what was asked before.
  void open(std::string& out) {
    asked_.clear();
    amqp_channel_open_t open{};
    append_method(out, channel_, AMQP_CHANNEL_OPEN_METHOD, &open);
    ask({});
  }

  /// Makes all declarations in order; `answer` gets the last one's answer, or the first problem.
  void declare(std::string& out, const Topology& topology, std::string operation, Answer answer) {
    operation_ = std::move(operation);
    for (const Declaration& each : topology) {
      std::visit([&](const auto& declaration) { append(out, declaration); }, each);
      ask({});
    }
    asked_.back() = std::move(answer);
  }

  /// Appends basic.consume; its answer is basic.consume-ok. For a queue without acknowledgements.
  void consume(std::string& out, const std::string& queue, Answer answer) {
    amqp_basic_consume_t consume{};
    consume.queue = bytes_of(queue);
    consume.no_ack = 1;
    append_method(out, channel_, AMQP_BASIC_CONSUME_METHOD, &consume);
    ask(std::move(answer));
  }

  /// Takes a method that came in on the channel.
  void handle(std::string& out, const amqp_method_t& method) {
    switch (method.id) {
      case AMQP_CHANNEL_OPEN_OK_METHOD:
      case AMQP_EXCHANGE_DECLARE_OK_METHOD:
      case AMQP_QUEUE_BIND_OK_METHOD:
      case AMQP_QUEUE_DELETE_OK_METHOD:
      case AMQP_BASIC_CONSUME_OK_METHOD: return reply(nullptr, {});
      case AMQP_QUEUE_DECLARE_OK_METHOD: {
        const auto* ok = static_cast<const amqp_queue_declare_ok_t*>(method.decoded);
        return reply(nullptr, {ok->message_count, ok->consumer_count});
      }
      case AMQP_CHANNEL_CLOSE_METHOD: {
        const auto* close = static_cast<const amqp_channel_close_t*>(method.decoded);
        const Error problem =
            broker_error(close->reply_code, view_of(close->reply_text), operation_);
        amqp_channel_close_ok_t ok{};
        append_method(out, channel_, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
        std::deque<Answer> failed = std::exchange(asked_, {});
        open(out);
        for (Answer& each : failed) {
          if (each) each(&problem, {});
        }
        return;
      }
      default: return;  // nothing else concerns us
    }
  }

 private:
  void ask(Answer answer) { asked_.push_back(std::move(answer)); }

  void reply(const Error* problem, QueueCounts counts) {
    if (asked_.empty()) return;
    Answer answer = std::move(asked_.front());
    asked_.pop_front();
    if (answer) answer(problem, counts);
  }

  void append(std::string& out, const DeclareExchange& exchange) {
    amqp_exchange_declare_t declare{};
    declare.exchange = bytes_of(exchange.name);
    declare.type = bytes_of(exchange.type);
    declare.passive = exchange.passive;
    declare.durable = 1;
    amqp_table_entry_t alternate{};
    if (!exchange.alternate.empty()) {
      alternate.key = bytes_of("alternate-exchange");
      alternate.value.kind = AMQP_FIELD_KIND_UTF8;
      alternate.value.value.bytes = bytes_of(exchange.alternate);
      declare.arguments = {1, &alternate};
    }
    append_method(out, channel_, AMQP_EXCHANGE_DECLARE_METHOD, &declare);
  }

  void append(std::string& out, const DeclareQueue& queue) {
    amqp_queue_declare_t declare{};
    declare.queue = bytes_of(queue.name);
    declare.passive = queue.passive;
    declare.durable = 1;
    std::vector<amqp_table_entry_t> entries(queue.arguments.size());
    for (std::size_t i = 0; i < entries.size(); ++i) {
      entries[i].key = bytes_of(queue.arguments[i].name);
      set(entries[i].value, queue.arguments[i].value);
    }
    declare.arguments = {static_cast<int>(entries.size()), entries.data()};
    append_method(out, channel_, AMQP_QUEUE_DECLARE_METHOD, &declare);
  }

  static std::string lock_queue(const std::string& name) { return name + "/lock"; }

  /// An exclusive queue: nobody else can have it.
  void append(std::string& out, const Lock& lock) {
    const std::string name = lock_queue(lock.name);
    amqp_queue_declare_t declare{};
    declare.queue = bytes_of(name);
    declare.exclusive = 1;
    append_method(out, channel_, AMQP_QUEUE_DECLARE_METHOD, &declare);
  }
  void append(std::string& out, const Unlock& lock) {
    const std::string name = lock_queue(lock.name);
    amqp_queue_delete_t erase{};
    erase.queue = bytes_of(name);
    append_method(out, channel_, AMQP_QUEUE_DELETE_METHOD, &erase);
  }

  void append(std::string& out, const Bind& bind) {
    amqp_queue_bind_t method{};
    method.queue = bytes_of(bind.queue);
    method.exchange = bytes_of(bind.exchange);
    method.routing_key = bytes_of(bind.routing_key);
    append_method(out, channel_, AMQP_QUEUE_BIND_METHOD, &method);
  }

  static void set(amqp_field_value_t& field,
                  const std::variant<std::int64_t, std::string, bool>& value) {
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
      field.kind = AMQP_FIELD_KIND_I64;
      field.value.i64 = *number;
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      field.kind = AMQP_FIELD_KIND_UTF8;
      field.value.bytes = bytes_of(*text);
    } else {
      field.kind = AMQP_FIELD_KIND_BOOLEAN;
      field.value.boolean = std::get<bool>(value);
    }
  }

  const std::uint16_t channel_;
  std::string operation_;
  std::deque<Answer> asked_;
};

}  // namespace omnibus::rabbitmq
