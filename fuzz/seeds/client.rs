//! What the client and the command line read beside what brokers send.

use std::{error::Error, fs};

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};

use crate::{sized, write};

pub(crate) fn all() -> Result<(), Box<dyn Error>> {
    registry()?;
    values()?;
    properties()?;
    key_stores()?;
    formats()
}

fn registry() -> Result<(), Box<dyn Error>> {
    let answer = |status: u8, body: &str| [&[status], &sized(body.as_bytes())[..]].concat();
    let plain = answer(0, r#"{"schema":"\"string\"","subject":"s","version":1,"id":1}"#);
    let refers = answer(
        0,
        r#"{"schemaType":"PROTOBUF","schema":"import \"a\";","references":[{"name":"a","subject":"a/b","version":2},{"name":"c","subject":"c","version":-1}]}"#,
    );
    write("registry", "avro", &[&plain])?;
    write("registry", "references", &[&refers, &plain, &refers, &plain])?;
    let none = answer(1, r#"{"error_code":40403,"message":"Schema 1 not found"}"#);
    write("registry", "none", &[&none])?;
    write("registry", "a-reference-that-is-none", &[&refers, &none])?;
    write("registry", "refused", &[&answer(2, r#"{"error_code":401,"message":"Unauthorized"}"#)])?;
    write("registry", "failed", &[&answer(3, r#"{"error_code":50001,"message":"store"}"#)])?;
    write("registry", "a-proxys", &[&answer(4, "<html>503</html>")])
}

const AVRO: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long"},{"name":"b","type":["null","string"]},{"name":"c","type":{"type":"array","items":"double"}},{"name":"d","type":{"type":"map","values":"bytes"}},{"name":"e","type":{"type":"enum","name":"x","symbols":["s","t"]}}]}"#;
const AVRO_DATA: &[u8] = b"\x06\x02\x04ab\x02\0\0\0\0\0\0\xf0\x3f\0\x02\x02k\x04vw\0\x02";

fn values() -> Result<(), Box<dyn Error>> {
    let input = |flags: u8, schema: &str, other: (&str, &str), data: &[u8]| {
        let [name, schema, other] = [other.0, schema, other.1].map(|text| sized(text.as_bytes()));
        [&[flags], &name[..], &schema, &other, data].concat()
    };
    let none = ("", "");
    for (name, flags) in [("avro", 0), ("avro-resolved", 4), ("avro-typed", 1)] {
        write("values", name, &[&input(flags, AVRO, none, AVRO_DATA)])?;
    }
    let list = r#"{"type":"record","name":"l","fields":[{"name":"v","type":"int"},{"name":"n","type":["null","l"]}]}"#;
    write("values", "avro-nested", &[&input(0, list, none, &[2, 2, 4, 2, 6, 0])])?;
    let logical = r#"[{"type":"int","logicalType":"date"},{"type":"fixed","size":12,"name":"d","logicalType":"duration"},{"type":"bytes","logicalType":"decimal","precision":9,"scale":2},{"type":"string","logicalType":"uuid"}]"#;
    write("values", "avro-logical", &[&input(0, logical, none, &[4, 4, 1, 2])])?;
    let refers = r#"{"type":"record","name":"o","fields":[{"name":"r","type":"x.i"}]}"#;
    let inner = r#"{"type":"record","name":"i","namespace":"x","fields":[{"name":"n","type":"int"}]}"#;
    write("values", "avro-reference", &[&input(0, refers, ("x.i", inner), &[2])])?;

    let schema = r##"{"type":"object","properties":{"a":{"type":"integer","minimum":1},"b":{"type":"array","items":{"$ref":"#/$defs/x"},"uniqueItems":true},"c":{"anyOf":[{"pattern":"^[a-z]+$"},{"enum":[1,null]}]}},"required":["a"],"additionalProperties":false,"$defs":{"x":{"type":["string","null"],"maxLength":3}}}"##;
    write("values", "json", &[&input(2, schema, none, br#"{"a":7,"b":["x",null],"c":"abc"}"#)])?;
    write("values", "json-that-is-not-so", &[&input(2, schema, none, br#"{"a":0,"b":["long"],"d":1.5e3}"#)])?;
    let refers = r#"{"$schema":"http://json-schema.org/draft-07/schema#","allOf":[{"$ref":"other.json"}],"if":{"required":["a"]},"then":{"minProperties":2},"patternProperties":{"^a":{"const":1}}}"#;
    let other = r#"{"type":"object","dependentRequired":{"a":["b"]},"unevaluatedProperties":true}"#;
    write("values", "json-reference", &[&input(2, refers, ("other.json", other), br#"{"a":1,"b":[]}"#)])?;

    let file = r#"syntax = "proto3"; package p; message A { string s = 1; int32 i = 2; A a = 3; repeated bool f = 4; map<string, E> m = 5; oneof o { bytes b = 6; double d = 7; } enum E { Z = 0; Y = 1; } message In { sint64 n = 1; } } message B { fixed32 x = 1; }"#;
    let message = b"\0\x0a\x02ab\x10\x05\x1a\x02\x10\x01\x22\x02\x01\0\x2a\x05\x0a\x01k\x10\x01\x32\x01z";
    write("values", "protobuf", &[&input(3, file, none, message)])?;
    write("values", "protobuf-nested", &[&input(3, file, none, b"\x04\0\0\x08\x04")])?;
    let refers = r#"syntax = "proto2"; import "o.proto"; import "google/protobuf/timestamp.proto"; message C { required group G = 1 { optional int32 n = 2 [default = 4]; } optional p.A a = 3; optional google.protobuf.Timestamp t = 4; extensions 100 to max; } extend C { optional bool e = 100; }"#;
    write(
        "values",
        "protobuf-reference",
        &[&input(3, refers, ("o.proto", file), b"\0\x0b\x10\x02\x0c\x1a\0\xa0\x06\x01")],
    )?;
    // A FileDescriptorProto of one message with one field, in base64.
    let descriptor =
        BASE64.encode(b"\x0a\x01f\x22\x0d\x0a\x01M\x12\x08\x0a\x01s\x18\x01\x20\x01\x28\x09\x62\x06proto3");
    write("values", "protobuf-descriptor", &[&input(3, &descriptor, none, b"\0\x0a\x01a")])
}

fn properties() -> Result<(), Box<dyn Error>> {
    let jaas = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="al\"ice" password='a;b=c' tokenauth=true ;"#;
    write("properties", "jaas", &[&[0], jaas.as_bytes()])?;
    let oauth = "x.OAuthBearerLoginModule required clientId=\"c\" clientSecret=\"s\" scope=\"a b\" extension_x=\"y\";";
    write("properties", "jaas-oauth", &[&[0], oauth.as_bytes()])?;
    let file = "# c\nbootstrap.servers = a:1,\\\n  [::1]:2\n! c\ngroup.id:g\nmax.poll.records 5\nclient.id=\\u0061\\tb\\=\r\nauto.offset.reset=earliest\nacks=all\n";
    write("properties", "file", &[&[1], file.as_bytes()])?;
    let secured = format!(
        "bootstrap.servers=a:1\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config={jaas}\n"
    );
    write("properties", "secured", &[&[1], secured.as_bytes()])?;
    let librdkafka = "bootstrap.servers=a:1\nsecurity.protocol=sasl_plaintext\nsasl.mechanisms=PLAIN\nsasl.username=u\nsasl.password=p\nenable.ssl.certificate.verification=true\n";
    write("properties", "librdkafka", &[&[1], librdkafka.as_bytes()])?;
    let tokens = "bootstrap.servers=a:1\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url=https://t/x\nsasl.oauthbearer.client.credentials.client.id=i\nsasl.oauthbearer.client.credentials.client.secret=s\n";
    write("properties", "tokens", &[&[1], tokens.as_bytes()])?;
    // By the number of the key, or as a pair.
    let pairs: Vec<u8> = (0..80).flat_map(|key: u8| [&[key], &sized(b"1")[..]].concat()).collect();
    write("properties", "each-key", &[&[2], &pairs])?;
    let pair = [&[255], &sized(b"bootstrap.servers=a:1,b:2")[..]].concat();
    write("properties", "pairs", &[&[2], &pair, &[255], &sized(b"fetch.min.bytes=0")])
}

fn key_stores() -> Result<(), Box<dyn Error>> {
    // Without a kind, as it is said, and without passwords.
    for file in fs::read_dir("seeds/stores")? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        let kind = if name.ends_with("pem") { 1 } else { 2 };
        let bytes = fs::read(file.path())?;
        write("key_stores", &name, &[&[0], &bytes])?;
        write("key_stores", &format!("{name}-without-a-password"), &[&[kind | 4 | 8], &bytes])?;
    }
    for (name, kind) in [("key", 3), ("trusted", 0)] {
        let text = fs::read_to_string(format!("../crates/client/src/net/tls/jks/{name}.jks.base64"))?;
        let bytes = BASE64.decode(text.replace('\n', ""))?;
        write("key_stores", &format!("{name}.jks"), &[&[kind], &bytes])?;
        write("key_stores", &format!("{name}.jks-without-a-password"), &[&[kind | 4], &bytes])?;
    }
    Ok(())
}

fn formats() -> Result<(), Box<dyn Error>> {
    let record =
        [sized(b"key"), sized(b"value"), sized(b"h"), sized(b"\xff"), sized(b"h"), sized(b"")].concat();
    let format = sized(br"%t[%p]@%o: %k=%s %T %h %K %S %R %% \n\x41\0");
    write("formats", "format", &[&[0, 0xf0], &format, &sized(br"\n"), &[0, 5], &record])?;
    write("formats", "json", &[&[0, 0xf3], &sized(br",\n%s"), &sized(b""), &[0, 5], &record])?;
    write("formats", "delimiters", &[&[0, 0x69], &sized(b"::"), &sized(br"\t"), &[0, 5], &record])?;
    let groups = [sized(b"g"), sized(b"with, \"quotes\"")].concat();
    let plan = "\"g\",t,0,5\r\n\"with, \"\"quotes\"\"\",t,1,-1\n\nother,t,0,9\n";
    write("formats", "plan", &[&[1, 2], &groups, plan.as_bytes()])?;
    write("formats", "plan-of-one", &[&[1, 1], &sized(b"g"), b"t,0,5\nt,1,7"])?;
    let long = [sized(&[b'g'; 2_500]), sized(&[b'h'; 2_500])].concat();
    write("formats", "plan-of-long-names", &[&[1, 2], &long])?;
    for (name, text) in [
        ("time", "2023-11-14T22:13:20.004+01:30"),
        ("time-of-utc", "2024-02-29T00:00:00"),
        ("duration", "-P1DT2H3M-4.5S"),
        ("seconds", "30s"),
        ("days", "106751991167d"),
    ] {
        write("formats", name, &[&[2], text.as_bytes()])?;
    }
    for (name, texts) in
        [("offsets", ["s@1700000000000", "e@1700000000001"]), ("before-the-end", ["-5", "e@9"])]
    {
        write("formats", name, &[&[3], &sized(texts[0].as_bytes()), &sized(texts[1].as_bytes())])?;
    }
    write("formats", "stored", &[&[3], &sized(b"stored")])
}
