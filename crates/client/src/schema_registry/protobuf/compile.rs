//! A registry's schema of Protobuf, with what it imports, becomes descriptors.

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use prost_reflect::{FileDescriptor, prost::Message as _, prost_types::FileDescriptorProto};
use protox::{
    Compiler, Error,
    file::{File, FileResolver, GoogleFileResolver},
};

use super::super::{Referenced, Schema};

/// What the file itself is called: as none that is imported.
const ROOT: &str = "ottla.registered.proto";
/// How deep the text of a file may be nested: it is compiled by recursion.
const DEPTH_MAX: usize = 64;

/// The file itself.
pub(super) fn compile(schema: &Schema) -> Result<FileDescriptor, String> {
    for text in std::iter::once(&schema.text).chain(schema.references.iter().map(|file| &file.text)) {
        if depth(text) > DEPTH_MAX {
            return Err(format!("its text is nested deeper than {DEPTH_MAX} levels"));
        }
    }
    // A resolver is owned by its compiler.
    let files = Files { root: schema.text.clone(), imports: schema.references.clone() };
    let mut compiler = Compiler::with_file_resolver(files);
    compiler.include_imports(true);
    compiler.open_file(ROOT).map_err(|why| why.to_string())?;
    let pool = compiler.descriptor_pool();
    pool.get_file_by_name(ROOT).ok_or_else(|| "it was not compiled".to_owned())
}

struct Files {
    root: String,
    imports: Vec<Referenced>,
}

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        if name == ROOT {
            return file(name, &self.root);
        }
        match self.imports.iter().find(|import| import.name == name) {
            Some(import) => file(name, &import.text),
            None => GoogleFileResolver::new().open_file(name),
        }
    }
}

/// Of text, or of a descriptor in base64: no text of a file is base64, which has neither spaces nor semicolons.
fn file(name: &str, schema: &str) -> Result<File, Error> {
    let descriptor = BASE64.decode(schema.trim()).ok().filter(|bytes| !bytes.is_empty());
    let descriptor = descriptor.and_then(|bytes| FileDescriptorProto::decode(bytes.as_slice()).ok());
    match descriptor {
        Some(mut descriptor) => {
            descriptor.name = Some(name.to_owned());
            Ok(File::from_file_descriptor_proto(descriptor))
        }
        None => File::from_source(name, schema),
    }
}

/// How deep brackets are nested, outside of comments and quotes.
fn depth(text: &str) -> usize {
    let (mut deepest, mut depth) = (0, 0_usize);
    let mut rest = text.bytes().peekable();
    while let Some(byte) = rest.next() {
        match (byte, rest.peek()) {
            (b'{' | b'[' | b'(' | b'<', _) => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (b'}' | b']' | b')' | b'>', _) => depth = depth.saturating_sub(1),
            (b'/', Some(b'/')) | (b'#', _) => _ = rest.find(|&byte| byte == b'\n'),
            (b'/', Some(b'*')) => {
                rest.next();
                let mut last = 0;
                _ = rest.find(|&byte| std::mem::replace(&mut last, byte) == b'*' && byte == b'/');
            }
            (quote @ (b'"' | b'\''), _) => {
                let mut is_escaped = false;
                _ = rest.find(|&byte| {
                    let ends = byte == b'\n' || (!is_escaped && byte == quote);
                    is_escaped = !is_escaped && byte == b'\\';
                    ends
                });
            }
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::depth;

    #[test]
    fn brackets_in_comments_and_quotes_open_and_close_nothing() {
        assert_eq!(depth("message A { message B { } } message C { }"), 2);
        assert_eq!(depth("a { // }\n b { /* } } */ c { \"}\\\"}\" d { '}' e {"), 5);
        assert_eq!(depth("\"{{{\" // {{{\n /* {{{ **/ {"), 1);
    }
}
