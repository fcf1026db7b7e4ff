# Writes records by Confluent's serializers, which register their schemas: each with what it is as its key, to partition 0.
# python serializers.py BOOTSTRAP REGISTRY TOPIC prefix|header
import datetime, decimal, json, sys, uuid

from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

bootstrap, registry, topic, form = sys.argv[1:]
producer = Producer({"bootstrap.servers": bootstrap})
client = SchemaRegistryClient({"url": registry})
in_header = {"schema.id.serializer": header_schema_id_serializer}


def write(name, serializer, value, headers=()):
    headers = list(headers)
    # The topic is what the subject is named after.
    context = SerializationContext(f"{topic}.{name}", MessageField.VALUE, headers)
    producer.produce(topic, key=name, value=serializer(value, context), headers=headers, partition=0)
    return headers


def avro(name, schema, value, conf=in_header if form == "header" else {}, **how):
    if not isinstance(schema, Schema):
        schema = json.dumps(schema)
    return write(name, AvroSerializer(client, schema, conf=conf), value, **how)


def record(name, /, **fields):
    return {"type": "record", "name": name, "fields": [{"name": field, "type": kind} for field, kind in fields.items()]}


R = record("x.y.R", name="string", n="int")
avro("avro record", R, {"name": "ab", "n": 1})
avro("avro string", "string", "ab")
avro("avro long", "long", -1)
avro("avro enum", {"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B")
avro("avro array", {"type": "array", "items": "int"}, [1, 2])
avro("avro map", {"type": "map", "values": "int"}, {"a": 1})
avro("avro bytes", "bytes", b"ab")
avro("avro no bytes", "bytes", b"")
avro("avro union", ["null", "string"], "ab")
avro("avro other union", ["string", "null"], "ab")
avro("avro null of a union", ["null", "string"], None)
branches = record("U", u=["null", record("A", a="int"), record("B", b="int")])
avro("avro branch", branches, {"u": {"b": 3}})
avro("avro null branch", branches, {"u": None})
new_year = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
logical = record(
    "L",
    millis={"type": "long", "logicalType": "timestamp-millis"},
    micros={"type": "long", "logicalType": "timestamp-micros"},
    date={"type": "int", "logicalType": "date"},
    time={"type": "int", "logicalType": "time-millis"},
    decimal={"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2},
    uuid={"type": "string", "logicalType": "uuid"},
)
values = {"millis": new_year, "micros": new_year, "date": new_year.date(), "time": datetime.time(1, 2, 3, 4000)}
values |= {"decimal": decimal.Decimal("1.23"), "uuid": uuid.UUID("703728f3-af1e-548a-663d-de737237d988")}
avro("avro logical", logical, values)
client.register_schema(f"{topic}.r", Schema(json.dumps(R), "AVRO"))
outer = json.dumps(record("O", r="x.y.R"))
outer = Schema(outer, "AVRO", [SchemaReference("x.y.R", f"{topic}.r", 1)])
avro("avro reference", outer, {"r": {"name": "ab", "n": 1}})


def message(name, *fields, within=()):
    made = descriptor_pb2.DescriptorProto(name=name, nested_type=within)
    for number, (field, kind) in enumerate(fields, 1):
        made.field.add(name=field, number=number, label=1, **kind)
    return made


string, int32 = {"type": 9}, {"type": 5}
# Of this run: what is imported is registered by its name.
other = f"{topic}/other.proto"
inner = descriptor_pb2.FileDescriptorProto(name=other, package="lib", syntax="proto3")
inner.message_type.add().CopyFrom(message("Inner", ("i", int32)))
file = descriptor_pb2.FileDescriptorProto(name=f"{topic}.proto", package="x.y", syntax="proto3")
file.dependency.extend([other, "google/protobuf/timestamp.proto"])
both = ("s", string), ("i", int32)
deep = message("Deep", *both)
messages = [message("First", *both, within=[message("In", *both, within=[deep]), message("In2", *both)])]
imported = ("inner", {"type": 11, "type_name": ".lib.Inner"}), ("at", {"type": 11, "type_name": ".google.protobuf.Timestamp"})
messages += [message("Second", *both, within=[message("In", *both)]), message("Outer", *imported)]
messages += [message(f"M{number}", *both) for number in range(3, 72)]
file.message_type.extend(messages)
pool = descriptor_pool.Default()
for each in inner, file:
    pool.Add(each)


def protobuf(name, /, **fields):
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"x.y.{name}"))
    conf = {"use.deprecated.format": False} | (in_header if form == "header" else {})
    write(f"protobuf {name}{'' if fields else ' of nothing'}", ProtobufSerializer(kind, client, conf), kind(**fields))


for name in "First", "Second", "First.In", "First.In2", "First.In.Deep", "Second.In", "M64", "M71":
    protobuf(name, s="ab", i=1)
protobuf("First")
inner = message_factory.GetMessageClass(pool.FindMessageTypeByName("lib.Inner"))
protobuf("Outer", inner=inner(i=7), at=timestamp_pb2.Timestamp(seconds=1))


def json_schema(name, schema, value, references=(), validate=True):
    schema = Schema(json.dumps({"$schema": "http://json-schema.org/draft-07/schema#"} | schema), "JSON", list(references))
    conf = {"validate": validate} | (in_header if form == "header" else {})
    write(name, JSONSerializer(schema, client, conf=conf), value)


person = {"title": "P", "type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}}
json_schema("json object", person, {"name": "äb", "n": 1})
json_schema("json refused", person, {"name": "a", "n": "x"}, validate=False)
json_schema("json integer", {"title": "I", "type": "integer"}, 7)
client.register_schema(f"{topic}.person", Schema(json.dumps({"$schema": "http://json-schema.org/draft-07/schema#"} | person), "JSON"))
people = {"title": "PP", "type": "array", "items": {"$ref": "http://lib/person.json"}}
json_schema("json reference", people, [{"name": "a", "n": 1}], [SchemaReference("http://lib/person.json", f"{topic}.person", 1)])

avro("null", "string", None)
if form == "header":
    # A program that copies headers: to a record in header form, and to one with its id in front.
    copied = avro("avro twice", "long", 7)
    avro("avro twice", R, {"name": "ab", "n": 1}, headers=copied)
    copied = avro("avro stale", R, {"name": "ab", "n": 1})
    avro("avro stale", R, {"name": "ab", "n": 1}, conf={}, headers=copied)
producer.flush()
