/**
 * Lint rule: what goes into the text of SQL is quoted by a function that does that, or cannot need it (docs/security.md).
 *
 * SQL is a template, or a chain of `+`, that begins with an SQL verb. What is put into it has to be
 *
 *   a call of a quoting function        literal(text), quoted(name), …: the option `quoting`
 *   a call of a function of SQL         whose arguments are such: the option `fragments`
 *   a constant                          UPPER_CASE, or of a type that is a union of literals: 'up' | 'down'; a `const` that is such
 *   a number or a boolean               by its type
 *   made of such                        a ? b : c, a ?? b, `…`, a + b, list.map(quoted).join(', ')
 *
 * Everything else is a finding; a name that the catalog has quoted (quote_ident, format('%I')) is for a comment to say.
 */
import ts from 'typescript';

const HOLE = '\u0000';
const VERB = new RegExp(
  `^\\s*(?:${[
    'select[\\s(]',
    'insert\\s+into',
    'update\\s+\\S+\\s+set',
    'delete\\s+from',
    'truncate\\s',
    'merge\\s+into',
    'with\\s+(?:recursive\\s+)?\\S+(?:\\s*\\(.*?\\))?\\s+as',
    '(?:create|alter|drop)\\s+(?:or|temp|temporary|unlogged|table|index|unique|schema|role|user|database|sequence|view|type|domain|function|trigger|extension|publication|subscription|system|event|policy|collation)',
    'comment\\s+on',
    'grant\\s',
    'revoke\\s',
    'set\\s+(?:local|session|role|constraints|\\S+\\s*(?:=|to\\s))',
    'reset\\s',
    'copy\\s+\\S+\\s+(?:\\(|from|to)',
    '(?:un)?listen\\s',
    `notify\\s+\\S+\\s*,`,
    "do\\s+\\S*[$'e\u0000]",
    'call\\s',
    'execute\\s',
    'prepare\\s+\\S+.*\\sas\\s',
    'deallocate\\s',
    'declare\\s.*cursor',
    '(?:fetch|move)\\s+.*(?:from|in)\\s',
    `close\\s+[\\w"\u0000]+$`,
    'lock\\s+table',
    'vacuum\\s',
    'begin\\s*(?:;|isolation)',
    'explain\\s',
  ].join('|')})`,
  'is',
);

const NEEDS_NO_QUOTES =
  ts.TypeFlags.NumberLike |
  ts.TypeFlags.BigIntLike |
  ts.TypeFlags.BooleanLike |
  ts.TypeFlags.StringLiteral |
  ts.TypeFlags.Null |
  ts.TypeFlags.Undefined;

const NAMES = { type: 'array', items: { type: 'string' } };

/** @type {import('eslint').Rule.RuleModule} */
export const sqlQuoting = {
  meta: {
    type: 'problem',
    schema: [
      {
        type: 'object',
        properties: { quoting: NAMES, fragments: NAMES },
        additionalProperties: false,
      },
    ],
    messages: {
      unquoted: '{{text}} goes into SQL unquoted: a parameter, or one of {{quoting}} (docs/security.md)',
    },
  },
  create(context) {
    const { quoting = [], fragments = [] } = context.options[0] ?? {};
    const services = context.sourceCode.parserServices;

    const isHarmless = (type) => {
      if (type.isUnion()) return type.types.every(isHarmless);
      // A number with a brand.
      if (type.isIntersection()) return type.types.some(isHarmless);
      return (type.flags & NEEDS_NO_QUOTES) !== 0;
    };
    const isOfHarmlessType = (node) => isHarmless(services.getTypeAtLocation(node));
    const isListOfHarmlessType = (node) => {
      const [of] = services.program.getTypeChecker().getTypeArguments(services.getTypeAtLocation(node)) ?? [];
      return of !== undefined && isHarmless(of);
    };
    const definitionOf = (identifier) => {
      for (let scope = context.sourceCode.getScope(identifier); scope; scope = scope.upper) {
        const [definition] = scope.set.get(identifier.name)?.defs ?? [];
        if (definition) return definition;
      }
      return null;
    };
    /** What a `const` is; null: it is none, or not from here. */
    const valueOf = (identifier) => {
      const { parent, node } = definitionOf(identifier) ?? {};
      return parent?.kind === 'const' && node.id.type === 'Identifier' ? node.init : null;
    };
    /** A parameter of a function of SQL: it is looked at where that is called. */
    const isOfFragment = (identifier) => {
      const { type, node } = definitionOf(identifier) ?? {};
      return type === 'Parameter' && fragments.includes((node.id ?? node.parent.id)?.name);
    };
    /** `buffer.toString('hex')`, `String(flag)` */
    const isWritten = ({ callee, arguments: [of] }) =>
      (callee.property?.name === 'toString' && of?.value === 'hex') ||
      (callee.name === 'String' && isOfHarmlessType(of));
    const isQuoting = (callee) => callee.type === 'Identifier' && quoting.includes(callee.name);
    const bodyOf = ({ type, body }) =>
      type === 'ArrowFunctionExpression' && body.type !== 'BlockStatement' ? body : null;

    /** `list.map(quoted)`, `list.map((each) => literal(each))` */
    const isQuotedList = (node) => {
      if (node.type === 'Identifier')
        return isConstant(node) || isListOfHarmlessType(node) || isQuotedValue(node, isQuotedList);
      if (node.type === 'SpreadElement') return isQuotedList(node.argument);
      if (node.type === 'ArrayExpression')
        return node.elements.every((each) =>
          each.type === 'SpreadElement' ? isQuotedList(each) : isSafe(each),
        );
      if (node.type === 'ConditionalExpression')
        return isQuotedList(node.consequent) && isQuotedList(node.alternate);
      if (node.type !== 'CallExpression') return isListOfHarmlessType(node);
      const [each] = node.arguments;
      switch (node.callee.property?.name) {
        case 'map':
          return isQuoting(each) || (bodyOf(each) !== null && isSafe(bodyOf(each)));
        case 'filter':
        case 'slice':
          return isQuotedList(node.callee.object);
        default:
          return isListOfHarmlessType(node);
      }
    };
    const isQuotedValue = (identifier, is) => {
      const value = valueOf(identifier);
      return value !== null && is(value);
    };
    const isConstant = ({ name }) => /^[A-Z][A-Z0-9_]*$/.test(name);
    const isSafe = (node) => {
      switch (node.type) {
        case 'Literal':
          return true;
        case 'TSAsExpression':
          return isSafe(node.expression);
        case 'TemplateLiteral':
          return node.expressions.every(isSafe);
        case 'ConditionalExpression':
          return isSafe(node.consequent) && isSafe(node.alternate);
        case 'LogicalExpression':
        case 'BinaryExpression':
          return isSafe(node.left) && isSafe(node.right);
        case 'CallExpression':
          if (isQuoting(node.callee) || isWritten(node)) return true;
          if (fragments.includes(node.callee.name)) return node.arguments.every(isSafe);
          if (node.callee.property?.name === 'join') return isQuotedList(node.callee.object);
          return isOfHarmlessType(node);
        case 'Identifier':
          return (
            isConstant(node) || isOfHarmlessType(node) || isOfFragment(node) || isQuotedValue(node, isSafe)
          );
        default:
          return isOfHarmlessType(node);
      }
    };
    const check = (parts) => {
      for (const node of parts.filter((part) => !isSafe(part)))
        context.report({
          node,
          messageId: 'unquoted',
          data: { text: context.sourceCode.getText(node), quoting: quoting.join(', ') },
        });
    };

    return {
      TemplateLiteral(node) {
        const text = node.quasis.map(({ value }) => value.cooked).join(HOLE);
        if (VERB.test(text)) check(node.expressions);
      },
      BinaryExpression(node) {
        if (node.operator !== '+' || isOfChain(node.parent)) return;
        const parts = operandsOf(node);
        const text = parts.map((part) => (typeof part.value === 'string' ? part.value : HOLE)).join('');
        // A template at its beginning is looked at by itself.
        if (VERB.test(text) && typeof parts[0].value === 'string') check(parts);
      },
    };
  },
};

const isOfChain = ({ type, operator }) => type === 'BinaryExpression' && operator === '+';

const operandsOf = (node) =>
  isOfChain(node) ? [...operandsOf(node.left), ...operandsOf(node.right)] : [node];
