//! Walks a body and compares every path, macro and method in it with the table.
//! Items inside the body are skipped: they are not the workflow's code until it calls them, and what they do
//! may be right elsewhere.

use proc_macro2::{Punct, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    Arm, Attribute, Block, Expr, ExprAssign, ExprBinary, ExprCast, ExprMethodCall, ExprPath, Item, Local,
    Macro, Stmt, Type,
};

use super::rules::{self, Rule};
use super::{Allows, Families, path_text};
use crate::diag::Diag;

/// Notes in `diag` everything in `block` that `families` refuses.
pub(super) fn check(block: &Block, allows: &Allows, families: Families, diag: &mut Diag) {
    Walk { allows, families, diag }.visit_block(block);
}

struct Walk<'a> {
    allows: &'a Allows,
    /// What is refused here; an attribute changes it for what it stands on.
    families: Families,
    diag: &'a mut Diag,
}

impl Walk<'_> {
    /// Walks something that attributes can stand on, and forgets after it what they allowed.
    fn scoped(&mut self, walk: impl FnOnce(&mut Self)) {
        let outside = self.families;
        walk(self);
        self.families = outside;
    }

    fn refuse(&mut self, rule: Option<&Rule>, subject: &str, place: impl ToTokens) {
        if let Some(rule) = rule.filter(|rule| self.families.refuses(rule.family)) {
            self.diag.refuse(place, message(rule, subject));
        }
    }

    /// Looks for names in tokens that need not be Rust: the arguments of a macro.
    fn scan(&mut self, tokens: TokenStream) {
        let mut name = Name::default();
        for token in tokens {
            let Some(token) = name.extend(token) else { continue };
            self.check_name(&std::mem::take(&mut name), &token);
            if let TokenTree::Group(group) = &token {
                self.scan(group.stream());
            }
            name = Name::starting_with(token);
        }
        self.check_name(&name, &TokenTree::Punct(Punct::new(';', Spacing::Alone)));
    }

    fn check_name(&mut self, name: &Name, next: &TokenTree) {
        let is_called = |mark: char| matches!(next, TokenTree::Punct(punct) if punct.as_char() == mark);
        if name.is_method {
            self.refuse(rules::for_method(&name.text), &format!(".{}()", name.text), &name.tokens);
        } else if is_called('!') {
            self.refuse(rules::for_macro(&name.text), &format!("{}!", name.text), &name.tokens);
        } else {
            self.refuse(rules::for_path(&name.text), &name.text, &name.tokens);
        }
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match self.allows.families(&attribute.meta) {
            Some(Ok(allowed)) => self.families = self.families.without(&allowed),
            Some(Err(error)) => self.diag.push(error),
            None => {}
        }
    }

    fn visit_stmt(&mut self, stmt: &'ast Stmt) {
        self.scoped(|walk| visit::visit_stmt(walk, stmt));
    }

    fn visit_local(&mut self, local: &'ast Local) {
        self.scoped(|walk| visit::visit_local(walk, local));
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        self.scoped(|walk| visit::visit_arm(walk, arm));
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        self.scoped(|walk| visit::visit_expr(walk, expr));
    }

    // In `#[attribute] a = b;` syn keeps the attribute on `a`, where the author means the statement: the left
    // side is walked without a scope of its own.
    fn visit_expr_assign(&mut self, assign: &'ast ExprAssign) {
        visit::visit_expr(self, &assign.left);
        self.visit_expr(&assign.right);
    }

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        visit::visit_expr(self, &binary.left);
        self.visit_expr(&binary.right);
    }

    fn visit_expr_cast(&mut self, cast: &'ast ExprCast) {
        visit::visit_expr(self, &cast.expr);
    }

    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        let text = path_text(&path.path);
        self.refuse(rules::for_path(&text), &text, &path.path);
        visit::visit_expr_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        for attribute in &call.attrs {
            self.visit_attribute(attribute);
        }
        self.visit_expr(&call.receiver);
        let name = call.method.to_string();
        self.refuse(rules::for_method(&name), &format!(".{name}()"), &call.method);
        for argument in &call.args {
            self.visit_expr(argument);
        }
    }

    fn visit_macro(&mut self, makro: &'ast Macro) {
        let text = path_text(&makro.path);
        self.refuse(rules::for_macro(&text), &format!("{text}!"), &makro.path);
        self.scan(makro.tokens.clone());
    }

    fn visit_item(&mut self, _: &'ast Item) {}

    fn visit_type(&mut self, _: &'ast Type) {}
}

/// A path or a method's name, as it grows token by token.
#[derive(Default)]
struct Name {
    text: String,
    tokens: TokenStream,
    is_method: bool,
    /// How many colons stand at the end.
    colons: usize,
}

impl Name {
    /// The name that `token` begins: none, unless it is an identifier or the dot before a method.
    fn starting_with(token: TokenTree) -> Self {
        let mut name = Self::default();
        match &token {
            TokenTree::Ident(ident) => {
                name.text = ident.to_string();
                name.tokens = token.into();
            }
            TokenTree::Punct(punct) if punct.as_char() == '.' => name.is_method = true,
            _ => {}
        }
        name
    }

    /// Takes `token` if it goes on with the name, or gives it back.
    fn extend(&mut self, token: TokenTree) -> Option<TokenTree> {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ':' && !self.text.is_empty() && !self.is_method => {
                self.colons += 1;
            }
            TokenTree::Ident(ident) if self.colons == 2 => {
                self.text.push_str("::");
                self.text.push_str(&ident.to_string());
                self.colons = 0;
            }
            TokenTree::Ident(ident) if self.is_method && self.text.is_empty() => {
                self.text = ident.to_string();
            }
            _ => return Some(token),
        }
        self.tokens.extend([token]);
        None
    }
}

fn message(rule: &Rule, subject: &str) -> String {
    let Rule { family, reason, instead, .. } = rule;
    format!(
        "`{subject}` cannot be used in a workflow: {reason}; {instead} \
         (if you are sure, put `#[durable::allow({})]` on the statement)",
        family.name()
    )
}
