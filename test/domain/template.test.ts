import { describe, expect, it } from 'vitest';
import {
  type Placeholder,
  parseTemplate,
  TemplateSyntaxError,
  type TemplateValues,
  valueOfPlaceholder,
} from '../../src/domain/template.ts';

const sampleValues: TemplateValues = {
  executionId: 7_205_759_403_792_793,
  attempt: 2,
  attemptToken: 'cat_sample',
  jobId: 7,
  jobKey: { namespace: 'shop', group: 'nightly', name: 'report "x"' },
  fireAt: new Date('2026-03-29T01:30:00.250Z'),
  cause: 'SCHEDULE',
  term: 4,
  parameters: {
    text: 'all',
    object: { depth: 3, rows: [{ id: 'a' }, { id: 'b' }], nothing: null },
    list: [{ name: 'day', value: 'monday' }],
  },
};

describe('a template', () => {
  it.each<[string, ReturnType<typeof parseTemplate>]>([
    ['', []],
    ['plain } }} { text', ['plain } }} { text']],
    ['{{attempt}}', [{ path: ['attempt'], filters: [] }]],
    ['a {{ job.name }} b', ['a ', { path: ['job', 'name'], filters: [] }, ' b']],
    ['{{ parameters.text|url | json }}', [{ path: ['parameters', 'text'], filters: ['url', 'json'] }]],
    ['{"a":{{ term }}}', ['{"a":', { path: ['term'], filters: [] }, '}']],
    ['{{ attempt_token }}', [{ path: ['attempt_token'], filters: [] }]],
    ['{{{{ job.name }}', ['{{ job.name }}']],
    ['{{{{{{ term }}', ['{{', { path: ['term'], filters: [] }]],
    ['{{parameters.object.a-b.0}}', [{ path: ['parameters', 'object', 'a-b', '0'], filters: [] }]],
  ])('reads %j', (text, parts) => {
    expect(parseTemplate(text)).toEqual(parts);
  });

  it.each([
    ['ab {{ attempt', 'the placeholder at character 4 has no }}; write {{{{ for two braces'],
    ['{{}}', 'the placeholder at character 1 is not known'],
    ['{{ x }}', 'the placeholder at character 1 is not known'],
    ['{{ attempt }}{{ Attempt }}', 'the placeholder at character 14 is not known'],
    ['{{ job }}', 'is not known'],
    ['{{ job.key }}', 'is not known'],
    ['{{ job.name.length }}', 'is not known'],
    ['{{ parameters.text.x }}', 'is not known'],
    ['{{ parameters.list }}', 'is not known'],
    ['{{ parameters.list.a.b }}', 'is not known'],
    ['{{ parameters.object. }}', 'is not known'],
    ['{{ parameters.object.a..b }}', 'is not known'],
    ['{{ parameters.object.a b }}', 'is not known'],
    ['{{{ attempt }}}', 'is not known'],
    ['{{ attempt + 1 }}', 'is not known'],
    ['{{ attempt | upper }}', 'the placeholder at character 1 has an unknown escape; there are json and url'],
    ['{{ attempt | json | url | json }}', 'the placeholder at character 1 has an escape twice'],
    ['{{ attempt }}'.repeat(1_001), 'must have at most 1000 placeholders'],
    ['{{ attempt | }}', 'has an unknown escape'],
  ])('refuses %j and says where', (text, message) => {
    expect(() => parseTemplate(text)).toThrow(TemplateSyntaxError);
    expect(() => parseTemplate(text)).toThrow(message);
  });
});

describe('a placeholder', () => {
  it.each([
    ['execution_id', 7_205_759_403_792_793],
    ['attempt', 2],
    ['fire_time', '2026-03-29T01:30:00.250Z'],
    ['cause', 'SCHEDULE'],
    ['term', 4],
    ['job.id', 7],
    ['job.namespace', 'shop'],
    ['job.group', 'nightly'],
    ['job.name', 'report "x"'],
    ['parameters', sampleValues.parameters],
    ['parameters.text', 'all'],
    ['parameters.object', sampleValues.parameters.object],
    ['parameters.object.depth', 3],
    ['parameters.object.rows.1.id', 'b'],
    ['parameters.object.rows.2.id', undefined],
    ['parameters.object.rows.length', undefined],
    ['parameters.object.nothing', null],
    ['parameters.object.nothing.more', undefined],
    ['parameters.object.depth.more', undefined],
    ['parameters.object.__proto__', undefined],
    ['parameters.object.constructor.name', undefined],
    ['parameters.list.day', 'monday'],
    ['parameters.list.month', undefined],
  ])('%s stands for %j', (name, value) => {
    const [placeholder] = parseTemplate(`{{ ${name} }}`);
    expect(valueOfPlaceholder(placeholder as Placeholder, sampleValues)).toEqual(value);
  });

  it('stands for nothing where the attempt has no parameters', () => {
    const values = { ...sampleValues, parameters: {} };
    const standsFor = (text: string) => valueOfPlaceholder(parseTemplate(text)[0] as Placeholder, values);
    expect(standsFor('{{ parameters }}')).toEqual({});
    for (const name of ['text', 'object', 'object.a', 'list.a']) {
      expect(standsFor(`{{ parameters.${name} }}`)).toBeUndefined();
    }
  });
});
